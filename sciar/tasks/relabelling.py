"""Order-free training: the calls of a program come in the order in which the model would say them.

Every so many steps the model decodes training pictures, true calls are matched to decoded ones by
the Hungarian algorithm, and from then on the program is trained in the order of its matches. So no
permutation that the model prefers is punished. The usual way is a canonical order (``order:
canonical`` of the tokenizer).
"""

from __future__ import annotations

from typing import Any

import lightning as L

from sciar.datasets.program_data import ObservedSet, ProgramData
from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.model import AutoregressiveModel
from sciar.records import Program
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tokenization.programs.matching import relabelled
from sciar.tokenization.programs.observed import ObservedProgramTokenizer


class HungarianRelabelling(L.Callback):
    """Relabels training programs every ``every`` steps; a callback for recipes.

    Orders belong to pictures, so these must come again: made folders, or makers with ``copies: 1``.
    They are part of checkpoints. Processes that train together all do the same work.

    Args:
        every: steps between two rounds.
        pictures: of one round; rounds go through the data one after the other. 0: all in each.
        batch_size: programs in the making at once.

    Raises:
        UsageError: numbers below one.
    """

    def __init__(self, every: int = 1000, pictures: int = 0, batch_size: int = 128) -> None:
        if every < 1 or pictures < 0 or batch_size < 1:
            raise UsageError("every and batch_size are at least 1, pictures not negative")
        self.every, self.pictures, self.batch_size = every, pictures, batch_size
        self._orders: dict[int, tuple[int, ...]] = {}
        self._next = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse data whose orders cannot be kept; bring back those of a checkpoint."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, ProgramData):
            raise UsageError("relabelling is for programs: task: programs")
        if data.tokenizer.order != "file":
            raise UsageError(
                f"relabelling decides the order of calls: set the tokenizer's order to file, not "
                f"{data.tokenizer.order}"
            )
        own = data.observed("train")
        if own.copies > 1 and not own.lasting:
            raise UsageError("pictures made on the fly do not come again: set copies to 1")
        own.orders.update(self._orders)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """A round, when it is due."""
        if trainer.global_step == 0 or trainer.global_step % self.every:
            return
        assert isinstance(pl_module, AutoregressiveTask)
        own: ObservedSet = trainer.datamodule.observed("train")  # type: ignore[attr-defined]
        count = min(self.pictures or len(own), len(own))
        chosen = [(self._next + k) % len(own) for k in range(count)]
        self._next = (self._next + count) % len(own)
        model = pl_module.model
        training = model.training
        model.eval()
        try:
            found = orders(model, own, chosen, self.batch_size)
        finally:
            model.train(training)
        changed = sum(own.orders.get(i) != order for i, order in found.items())
        own.orders.update(found)
        self._orders = dict(own.orders)
        pl_module.log("train/relabelled", changed / max(1, len(found)), batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        return {"orders": {k: list(v) for k, v in self._orders.items()}, "next": self._next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._orders = {int(k): tuple(v) for k, v in state_dict["orders"].items()}
        self._next = int(state_dict["next"])


def orders(
    model: AutoregressiveModel, data: ObservedSet, records: list[int], batch_size: int = 128
) -> dict[int, tuple[int, ...]]:
    """Record -> order of its true calls that agrees with what the model decodes.

    Records that have one call, or that nothing is decoded for, are left out.
    """
    tokenizer = data.tokenizer
    true: dict[int, Program] = {}
    jobs = []
    for record in records:
        picture = data.picture(record)
        if len(picture.program) < 2:
            continue
        true[record] = picture.program
        jobs.append(Job(tokenizer.asked(picture.image), record))
    cold = GenerationSettings(
        batch_size=batch_size,
        temperature=0.0,
        payload=SamplerSettings(temperature=0.0),
        max_tokens=1 << 20,
    )
    found: dict[int, tuple[int, ...]] = {}
    for drawn in Engine(model, tokenizer, cold).run(jobs):
        decoded = None if drawn.failure else _decoded(tokenizer, drawn.sequence)
        if decoded is not None:
            index = drawn.job.index
            found[index] = relabelled(tokenizer.language, true[index], decoded)
    return found


def _decoded(tokenizer: ObservedProgramTokenizer, sequence: Any) -> Program | None:
    try:
        program = tokenizer.decode(sequence)
    except RecordError:
        return None  # a program that is none matches nothing: its picture keeps its order
    assert isinstance(program, Program)
    return program
