"""What generation returns: one sample, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Protein, Record, Structure, no_atoms, symbols_of

if TYPE_CHECKING:
    from ase import Atoms
    from torch_geometric.data import Data

ASKED = "asked_"
"""Before the name of a property, in files: what a sample was asked for."""
OK, FAILED, REJECTED = "ok", "failed", "rejected"


@dataclass(frozen=True, eq=False)
class Sample:
    """One structure that was asked for.

    Attributes:
        id: ``{input}_{k}``, the k-th sample of its input.
        input: id of the composition, SMILES or record that it was made for.
        index: place in the run. With the seed it fixes the sample, whatever the batch size.
        seed: seed of the run.
        status: ``ok`` or ``failed``.
        message: why it failed; empty if it did not.
        logp: natural log-probability of the symbols that were drawn (0 if none were, as for a given
            composition), plus, with ``logp=True``, the log-density of the numbers; ``None`` if
            nothing was drawn at all.
        attempts: how often it was drawn (more than 1 only with ``retries``).
        record: the structure as SciAR's :class:`~sciar.records.Crystal` or
            :class:`~sciar.records.Molecule`, ``None`` if it failed.
        rejected: the structure that a check refused, which figures over all samples need; ``None``
            if the sample is ok, or no structure could be made of it.
        rank: place among the samples of its input by log-likelihood, from 1; ``None`` if nobody
            ranked it, or there is no structure.
        chosen: whether the ranking chose it; ``None`` if there was no ranking.
        earlier: why the attempts before the last one failed, in order (only with ``retries``).
        notes: further facts in plain types, such as the templates that the model was told.
        asked: the properties that were asked for, by name.
    """

    id: str
    input: str
    index: int
    seed: int
    status: str
    message: str = ""
    logp: float | None = None
    attempts: int = 0
    record: Structure | None = None
    rejected: Structure | None = None
    rank: int | None = None
    chosen: bool | None = None
    earlier: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is a structure."""
        return self.record is not None

    @property
    def parsed(self) -> bool:
        """Whether there was a structure at all, even if a check refused it."""
        return self.record is not None or self.rejected is not None

    @cached_property
    def structure(self) -> Any:
        """pymatgen ``Structure`` or RDKit ``Mol`` with a conformer; ``None`` if it failed."""
        match self.record:
            case None:
                return None
            case Crystal():
                return self.record.to_pymatgen()
            case Molecule():
                return self.record.to_rdkit()
            case Protein():
                return self.record
            case _:
                assert_never(self.record)

    def to_ase(self) -> Atoms:
        """As ASE ``Atoms``; periodic for a crystal.

        Raises:
            RecordError: the sample failed.
        """
        from ase import Atoms

        record = self._need()
        symbols = list(symbols_of(record))
        match record:
            case Crystal():
                return Atoms(symbols, scaled_positions=record.frac, cell=record.lattice, pbc=True)
            case Molecule():
                return Atoms(symbols, positions=record.positions)
            case Protein():
                raise no_atoms()
            case _:
                assert_never(record)

    def to_pyg(self) -> Data:
        """As PyTorch Geometric ``Data`` of n atoms.

        ``z`` (n,) atomic numbers, ``pos`` (n, 3) angstrom; a crystal has also ``cell`` (1, 3, 3)
        with the vectors as rows, and ``frac`` (n, 3).

        Raises:
            RecordError: the sample failed.
        """
        import torch
        from torch_geometric.data import Data

        from sciar.tokenization.elements import NUMBER

        record = self._need()
        z = torch.tensor([NUMBER[s] for s in symbols_of(record)])
        match record:
            case Crystal():
                frac, cell = torch.tensor(record.frac).float(), torch.tensor(record.lattice).float()
                pos = torch.tensor(record.frac @ record.lattice).float()
                return Data(z=z, pos=pos, cell=cell[None], frac=frac)
            case Molecule():
                return Data(z=z, pos=torch.tensor(record.positions).float())
            case Protein():
                raise no_atoms()
            case _:
                assert_never(record)

    def facts(self) -> dict[str, Any]:
        """Everything but the structure, in plain types: one row of a table."""
        facts = {
            "id": self.id,
            "input": self.input,
            "status": self.status,
            "message": self.message,
            "index": self.index,
            "seed": self.seed,
            "logp": self.logp,
            "attempts": self.attempts,
            "earlier": "; ".join(self.earlier),
            **self.notes,
            **{f"{ASKED}{name}": value for name, value in self.asked.items()},
        }
        # A number, because text formats know no truth values.
        return (
            facts
            if self.chosen is None
            else facts | {"rank": self.rank, "chosen": int(self.chosen)}
        )

    def properties(self) -> dict[str, Any]:
        """:meth:`facts` as a file stores them: without the id and what is empty."""
        return {k: v for k, v in self.facts().items() if k != "id" and v not in ("", None)}

    def to_record(self, **properties: Any) -> Record:
        """As a record for a writer, with :meth:`properties` and those given here.

        Raises:
            RecordError: the sample failed.
        """
        return Record(self.id, self._need(), {**self.properties(), **properties}, "", self.index)

    def to_raw_record(self, **properties: Any) -> Record:
        """As :meth:`to_record`, of a rejected structure too, whose ``status`` is ``rejected``.

        Raises:
            RecordError: no structure could be made of the sample.
        """
        if self.rejected is None:
            return self.to_record(**properties)
        facts = {**self.properties(), "status": REJECTED, **properties}
        return Record(self.id, self.rejected, facts, "", self.index)

    def _need(self) -> Structure:
        if self.record is None:
            raise RecordError(f"there is no structure: {self.message}", record=self.id)
        return self.record
