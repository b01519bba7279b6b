"""Physical plausibility of molecules by the PoseBusters tests (Buttenschoen et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from rdkit import Chem

from sciar.errors import UsageError
from sciar.evaluation.inputs import packed, unpacked
from sciar.evaluation.processes import ProcessMap


@dataclass(frozen=True)
class PoseChecks:
    """PoseBusters' verdict on one molecule.

    Attributes:
        passed: test name -> passed; empty for a molecule that is missing, that took too long, or
            that the library could not read: it counts as failed.
        timed_out: it took too long.
    """

    passed: dict[str, bool]
    timed_out: bool = False


@cache
def _busters() -> Any:
    from posebusters import PoseBusters

    return PoseBusters(config="mol")


def _check_one(data: bytes) -> dict[str, bool]:
    mol = unpacked(data)
    mol.GetConformer().SetId(0)  # the library's energy test asks for conformer 0
    table = _busters().bust(mol_pred=mol)
    row = table.iloc[0]
    return {
        str(name): value is not None and value == value and bool(value)
        for name, value in row.items()
    }


def posebusters_checks(
    mols: Sequence[Chem.Mol | None],
    *,
    jobs: int = 1,
    timeout: float | None = 60.0,
    progress: bool = True,
) -> list[PoseChecks]:
    """PoseBusters' tests of single molecules (its configuration ``mol``).

    Args:
        mols: molecules with bonds and one conformer; ``None`` fails.
        jobs, timeout: worker processes and seconds per molecule.
        progress: show a progress bar.

    Raises:
        UsageError: if the library ``posebusters`` is not installed.
    """
    if find_spec("posebusters") is None:
        raise UsageError("PoseBusters is not installed; install it with: pip install posebusters")
    given = {i: packed(mol) for i, mol in enumerate(mols) if mol is not None}
    with ProcessMap(_check_one, jobs=jobs, timeout=timeout) as pool:
        outcomes = pool.map(list(given.values()), description="PoseBusters", progress=progress)
    results = [PoseChecks({}) for _ in mols]
    for i, outcome in zip(given, outcomes, strict=True):
        results[i] = PoseChecks(outcome.value or {}, outcome.timed_out)
    return results
