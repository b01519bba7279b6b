"""Fully sharded data parallelism (FSDP2): every process holds a part of each weight."""

from __future__ import annotations

from functools import partial

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.tasks.autoregressive import AutoregressiveTask

STRATEGY = "fsdp"


def sharded(task: AutoregressiveTask, callbacks: list[L.Callback]) -> ModelParallelStrategy:
    """Prepare a task for sharding, and the strategy that does it.

    Lightning's own ``fsdp`` is the first version of FSDP, which neither clips gradients by their
    norm nor runs on a CPU. Within a node weights are sharded; over nodes, replicated.

    Raises:
        UsageError: a callback averages weights, which needs whole ones in every process.
    """
    averaging = [type(c).__name__ for c in callbacks if isinstance(c, WeightAveraging)]
    if averaging:
        raise UsageError(
            f"{averaging[0]} copies whole models and cannot average the shards of "
            f"--trainer.strategy {STRATEGY}: name callbacks without it (--trainer.callbacks), or "
            "train with --trainer.strategy ddp"
        )
    # An attribute, because Lightning warns about every averaged model whose class has this hook.
    task.configure_model = partial(_shard, task)  # type: ignore[method-assign]
    return ModelParallelStrategy(save_distributed_checkpoint=False)


def _shard(task: AutoregressiveTask) -> None:
    """The hook ``configure_model``: each layer is gathered when it is its turn."""
    mesh = task.device_mesh
    assert mesh is not None
    if isinstance(task.model, FSDPModule):
        return  # validation after training calls the hook again
    # Lightning's two dimensions are nodes and processes of a node.
    chosen = mesh if mesh.size(0) > 1 else mesh["tensor_parallel"]
    for layer in task.model.decoder.layers:
        fully_shard(layer, mesh=chosen)
    # Heads are used after the model's forward pass, so what is not in a layer stays gathered.
    fully_shard(task.model, mesh=chosen, reshard_after_forward=False)


def whole_model(trainer: L.Trainer, task: AutoregressiveTask) -> AutoregressiveModel:
    """The model of a task with whole weights, also where the task holds shards of them.

    Under FSDP the weights are gathered, so every process must call this; only the first one gets
    them, in the others the model is as initialised.
    """
    if not isinstance(trainer.strategy, ModelParallelStrategy):
        return task.model
    state = trainer.strategy.lightning_module_state_dict()
    held = task.model
    model = AutoregressiveModel(held.vocabulary, held.references, held.config, held.relations)
    if trainer.is_global_zero:
        model.load_state_dict({k.removeprefix("model."): tensor for k, tensor in state.items()})
    return model
