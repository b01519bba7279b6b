"""SchNet of torch-geometric for several properties of a molecule at once.

Schütt et al., arXiv:1706.08566. The protocol of EDM (Hoogeboom et al., arXiv:2203.17003) asks for a
predictor that was trained on other molecules than the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn.models import SchNet

from sciar.errors import RecordError
from sciar.records import Molecule, Structure
from sciar.tokenization.elements import NUMBER


@dataclass(frozen=True)
class Scale:
    """How the network sees a property: standardised, of the whole or for each atom.

    Attributes:
        name: of the property.
        mean: of the training values, divided by the atoms if ``per_atom``.
        std: likewise.
        per_atom: whether values grow with the number of atoms.
        count: training values.
    """

    name: str
    mean: float
    std: float
    per_atom: bool
    count: int

    @classmethod
    def of(cls, name: str, values: np.ndarray, atoms: np.ndarray) -> Scale:
        """From N training values and atom counts.

        A property is taken for each atom where that varies less, compared with its mean, than the
        property itself, as of the polarisability, but not of a gap.
        """
        each = values / atoms
        per_atom = each.std() * abs(values.mean()) < values.std() * abs(each.mean())
        used = each if per_atom else values
        return cls(name, float(used.mean()), float(used.std()) or 1.0, bool(per_atom), len(values))


class AllPairs(nn.Module):
    """Edges between all atoms of a molecule that are nearer than a cutoff, without torch-cluster.

    Args:
        cutoff: in angstrom.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3) positions and the (n,) molecule of each -> (2, E) indices, (E,) distances."""
        near = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist") < self.cutoff
        same = batch[:, None] == batch[None]
        same.fill_diagonal_(False)
        edges = (near & same).nonzero().T
        return edges, (pos[edges[0]] - pos[edges[1]]).norm(dim=-1)


@dataclass(frozen=True)
class Size:
    """Size of the network; distances in angstrom."""

    hidden: int = 64
    layers: int = 4
    gaussians: int = 40
    cutoff: float = 8.0

    def to_dict(self) -> dict[str, float]:
        """Plain form."""
        return asdict(self)


class OracleNetwork(nn.Module):
    """Molecules -> standardised properties.

    Args:
        outputs: number of properties.
        size: of the network.
    """

    def __init__(self, outputs: int, size: Size) -> None:
        super().__init__()
        self.net = SchNet(
            hidden_channels=size.hidden,
            num_filters=size.hidden,
            num_interactions=size.layers,
            num_gaussians=size.gaussians,
            cutoff=size.cutoff,
            interaction_graph=AllPairs(size.cutoff),
            readout="mean",
        )
        self.net.lin2 = nn.Linear(size.hidden // 2, outputs)

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor) -> Tensor:
        """(n,) atomic numbers, (n, 3) angstrom, (n,) molecule of each -> (B, outputs)."""
        out: Tensor = self.net(z, pos, batch)
        return out


@dataclass(frozen=True, eq=False)
class Oracle:
    """A trained network with the scales of its properties, and what it was trained on.

    Attributes:
        network: in evaluation mode.
        scales: one a property.
        size: of the network.
        facts: data, half, steps, errors on held-out molecules.
    """

    network: OracleNetwork
    scales: tuple[Scale, ...]
    size: Size
    facts: dict[str, object]

    @property
    def names(self) -> tuple[str, ...]:
        """Its properties."""
        return tuple(scale.name for scale in self.scales)

    @torch.inference_mode()
    def predict(self, structures: Sequence[Structure], batch_size: int = 64) -> np.ndarray:
        """(N, properties) in the units of the training data; NaN for what is no molecule in 3-D."""
        found = np.full((len(structures), len(self.scales)), np.nan)
        known = [i for i, s in enumerate(structures) if not refusal(s)]
        for start in range(0, len(known), batch_size):
            some = known[start : start + batch_size]
            z, pos, batch = joined([structures[i] for i in some])
            found[some] = self.network(z, pos, batch).double().numpy()
        atoms = np.array([len(s) for s in structures], dtype=np.float64)
        for k, scale in enumerate(self.scales):
            found[:, k] = found[:, k] * scale.std + scale.mean
            if scale.per_atom:
                found[:, k] *= atoms
        return found


def refusal(structure: Structure) -> str:
    """Empty, or why an oracle cannot judge a structure."""
    if not isinstance(structure, Molecule):
        return "an oracle judges molecules"
    if structure.positions is None:
        return "the molecule has no coordinates"
    return ""


def joined(structures: Sequence[Structure]) -> tuple[Tensor, Tensor, Tensor]:
    """(n,) atomic numbers, (n, 3) positions and (n,) index of the molecule of all atoms.

    Raises:
        RecordError: one of them is no molecule with coordinates.
    """
    numbers: list[int] = []
    owner: list[int] = []
    positions: list[np.ndarray] = []
    for i, structure in enumerate(structures):
        if why := refusal(structure):
            raise RecordError(why)
        assert isinstance(structure, Molecule) and structure.positions is not None
        numbers += [NUMBER[symbol] for symbol in structure.symbols]
        owner += [i] * len(structure)
        positions.append(structure.positions)
    pos = torch.from_numpy(np.concatenate(positions)).float()
    return torch.tensor(numbers), pos, torch.tensor(owner)
