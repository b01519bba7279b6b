"""Objectives: what a structure is worth. Any callable of a structure that gives a number will do.

Larger is better. Built-in ones have names; others are given as callables, as ``module:function``,
or come from packages that register them under the entry point ``sciar.objectives``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule, Structure
from sciar.tokenization.computed import COMPUTED

Objective = Callable[[Structure], float]
GROUP = "sciar.objectives"


@cache
def _sa_scorer() -> Any:
    """RDKit's contributed score of Ertl and Schuffenhauer (J. Cheminf. 1, 8, 2009)."""
    from rdkit import RDConfig

    path = os.path.join(RDConfig.RDContribDir, "SA_Score", "sascorer.py")
    spec = importlib.util.spec_from_file_location("sciar_sascorer", path)
    if spec is None or spec.loader is None or not os.path.exists(path):
        raise UsageError("this RDKit comes without its contributed SA_Score")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sa(structure: Structure) -> float:
    """Ease of synthesis: 1 (easy) to 0, from the published score of 1 to 10.

    Raises:
        RecordError: no molecule with bonds.
    """
    if not isinstance(structure, Molecule) or structure.mol is None:
        raise RecordError("only a molecule with bonds has a synthetic accessibility")
    from rdkit import Chem

    mol = Chem.RemoveHs(Chem.Mol(structure.mol))
    return (10.0 - float(_sa_scorer().calculateScore(mol))) / 9.0


def window(structure: Structure, name: str, low: float, high: float) -> float:
    """1 where a computed property lies in a window, less with the distance from it.

    Half a window's width outside it is worth a half.
    """
    value = COMPUTED[name].of(structure)
    width = max(high - low, 1e-9)
    outside = max(low - value, value - high, 0.0)
    return 1.0 / (1.0 + 2.0 * outside / width)


def symmetry(structure: Structure, symprec: float = 0.1) -> float:
    """Operations of the space group over 192, the most that there are, on a logarithmic scale.

    Raises:
        RecordError: no crystal, or one whose symmetry cannot be found.
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    if not isinstance(structure, Crystal):
        raise RecordError("only a crystal has a space group")
    try:
        found = SpacegroupAnalyzer(structure.to_pymatgen(), symprec=symprec)
        count = len(found.get_symmetry_operations())
    except (TypeError, ValueError) as error:
        raise RecordError(f"no symmetry was found: {error}") from error
    return float(np.log(count) / np.log(192))


class ShapeSimilarity:
    """Likeness of shape to a reference, without docking: 1 is the same shape.

    RDKit's ultrafast shape recognition (Ballester and Richards, J. Comput. Chem. 28, 1711, 2007).

    Args:
        reference: molecule with coordinates.

    Raises:
        RecordError: it has none.
    """

    def __init__(self, reference: Molecule) -> None:
        self.wanted = _shape(reference)

    def __call__(self, structure: Structure) -> float:
        from rdkit.Chem import rdMolDescriptors

        own = _shape(structure)
        return float(rdMolDescriptors.GetUSRScore(self.wanted, own))  # type: ignore[arg-type]


def _shape(structure: Structure) -> list[float]:
    from rdkit.Chem import rdMolDescriptors

    if not isinstance(structure, Molecule) or structure.positions is None or len(structure) < 3:
        raise RecordError("a shape needs a molecule of three atoms with coordinates")
    mol = structure.to_rdkit()
    return list(rdMolDescriptors.GetUSR(mol))


BUILT_IN: dict[str, Objective] = {
    **{name: computed.of for name, computed in COMPUTED.items()},
    "sa": sa,
    "symmetry": symmetry,
}
"""By name."""


def objective_of(given: Objective | str) -> Objective:
    """A callable from what a user says.

    Args:
        given: a callable; a name that is built in or registered under ``sciar.objectives``;
            ``NAME:LOW:HIGH`` for a window of a computed property, such as ``logp:2:3``; or
            ``module:function``.

    Raises:
        UsageError: nothing of this name, or no callable.
    """
    if callable(given):
        return given
    if given in BUILT_IN:
        return BUILT_IN[given]
    name, *rest = str(given).split(":")
    if name in COMPUTED and len(rest) == 2:
        try:
            low, high = map(float, rest)
        except ValueError as error:
            raise UsageError(f"objective {given!r}: a window is NAME:LOW:HIGH") from error
        if not low < high:
            raise UsageError(f"objective {given!r}: the window is empty")
        return partial(window, name=name, low=low, high=high)
    for point in entry_points(group=GROUP):
        if point.name == given:
            return _callable(point.load(), str(given))
    if len(rest) == 1:
        try:
            return _callable(getattr(importlib.import_module(name), rest[0]), str(given))
        except (ImportError, AttributeError) as error:
            raise UsageError(f"objective {given!r}: {error}") from error
    raise UsageError(
        f"no objective {given!r}; known are {', '.join(BUILT_IN)}, windows such as logp:2:3, "
        "module:function, and what packages register"
    )


def _callable(found: Any, name: str) -> Objective:
    if not callable(found):
        raise UsageError(f"objective {name!r} is no callable")
    return found  # type: ignore[no-any-return]
