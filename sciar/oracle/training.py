"""Training of an oracle: masked L1 loss, and the state that is best on held-out molecules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sciar.errors import RecordError, UsageError
from sciar.oracle.network import Oracle, OracleNetwork, Scale, Size, joined, refusal
from sciar.records import Record, Structure
from sciar.tokenization.targets import Target

HELD_OUT = 0.1
CHECKS = 10


def train_oracle(
    records: Sequence[Record],
    names: Sequence[str],
    *,
    size: Size | None = None,
    steps: int = 5000,
    batch_size: int = 32,
    lr: float = 1e-3,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Oracle:
    """An oracle of some columns of the records.

    A tenth of the molecules is held out; of ten states in the course of the training the one with
    the smallest error there is kept.

    Args:
        records: molecules with coordinates; others are left out, and counted in the facts.
        names: columns.
        size: of the network.
        steps: of Adam, with a cosine decay of the rate.
        batch_size: molecules a step.
        lr: largest rate.
        seed: of weights, order and what is held out.
        tell: takes a line of progress.

    Raises:
        UsageError: no usable molecule, or a column that no record has.
    """
    usable, values = _labelled(records, names)
    atoms = np.array([len(r.structure) for r in usable], dtype=np.float64)
    scales = []
    for k, name in enumerate(names):
        known = ~np.isnan(values[:, k])
        if not known.any():
            raise UsageError(f"no molecule has a value in the column {name!r}")
        scales.append(Scale.of(name, values[known, k], atoms[known]))
    targets = torch.from_numpy(_standard(values, atoms, scales)).float()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(usable))
    held = order[: max(1, round(HELD_OUT * len(usable)))]
    kept = order[len(held) :]
    if not len(kept):
        raise UsageError(f"{len(usable)} molecules are too few to train on")
    size = size or Size()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = OracleNetwork(len(names), size)
    optimiser = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    structures = [r.structure for r in usable]
    best, state = np.inf, {k: v.clone() for k, v in network.state_dict().items()}
    queue: list[int] = []
    for step in range(1, steps + 1):
        while len(queue) < min(batch_size, len(kept)):
            queue += rng.permutation(kept).tolist()
        some, queue = queue[:batch_size], queue[batch_size:]
        network.train()
        loss = _loss(network(*joined([structures[i] for i in some])), targets[some])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            error = _held_out(network, structures, targets, held, batch_size)
            if tell is not None:
                tell(f"step {step}: error of held-out molecules {error:.4f} standard deviations")
            if error < best:
                best, state = error, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(state)
    facts: dict[str, object] = {
        "molecules": len(usable),
        "left_out": len(records) - len(usable),
        "held_out": len(held),
        "steps": steps,
        "seed": seed,
        "held_out_error": float(best),
    }
    return Oracle(network.eval(), tuple(scales), size, facts)


def _labelled(records: Sequence[Record], names: Sequence[str]) -> tuple[list[Record], np.ndarray]:
    """Molecules with coordinates, and their (N, properties) values, NaN where none is known."""
    usable, rows = [], []
    for record in records:
        if refusal(record.structure):
            continue
        try:
            found = [Target(name).payload(record.properties.get(name)) for name in names]
        except RecordError as error:
            raise error.located(source=record.source, record=record.id) from error
        usable.append(record)
        rows.append([np.nan if value is None else value for value in found])
    if not usable:
        raise UsageError(f"none of {len(records)} records is a molecule with coordinates")
    return usable, np.array(rows, dtype=np.float64)


def _standard(values: np.ndarray, atoms: np.ndarray, scales: Sequence[Scale]) -> np.ndarray:
    out = values.copy()
    for k, scale in enumerate(scales):
        each = out[:, k] / atoms if scale.per_atom else out[:, k]
        out[:, k] = (each - scale.mean) / scale.std
    return out


def _loss(predicted: Tensor, target: Tensor) -> Tensor:
    known = ~target.isnan()
    if not bool(known.any()):
        return predicted.sum() * 0.0
    return (predicted - target)[known].abs().mean()


@torch.no_grad()
def _held_out(
    network: OracleNetwork,
    structures: Sequence[Structure],
    targets: Tensor,
    held: np.ndarray,
    batch_size: int,
) -> float:
    """Mean absolute error of held-out molecules, in standard deviations."""
    network.eval()
    total, count = 0.0, 0
    for start in range(0, len(held), batch_size):
        some = held[start : start + batch_size].tolist()
        errors = (network(*joined([structures[i] for i in some])) - targets[some]).abs()
        known = ~errors.isnan()
        total, count = total + float(errors[known].sum()), count + int(known.sum())
    return total / count if count else np.inf
