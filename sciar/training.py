"""``sciar fit|validate|test|predict``: a LightningCLI over packaged recipes."""

from __future__ import annotations

import json
import platform
import sys
import warnings
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sciar.datasets.datamodule import StructureData
from sciar.datasets.files import write_json
from sciar.errors import UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.precision import FULL, HALF, fitting_precision
from sciar.tasks.sharding import STRATEGY, sharded, whole_model

COMMANDS = ("fit", "validate", "test", "predict")
_NOISE = (
    # We pass the arguments on purpose: recipe names have become paths.
    "LightningCLI's args parameter",
    # Between Lightning and its own libraries; nothing that a user could mend.
    ".*LeafSpec.*is deprecated",
    ".*JsonargparseDeprecationWarning",
    ".*add_instantiator",
)


def recipes() -> dict[str, Path]:
    """Packaged recipes: name -> YAML file."""
    folder = resources.files("sciar") / "configs"
    return {p.stem: p for p in sorted(Path(str(folder)).glob("*.yaml"))}


def with_recipes(arguments: list[str]) -> list[str]:
    """Replace ``--config NAME`` by the path of the packaged recipe of that name.

    Raises:
        UsageError: if the value is neither a file nor a recipe.
    """
    known, out = recipes(), []
    value_next = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if value_next:
            out.append(_recipe(argument, known))
            value_next = False
        elif name in ("--config", "-c") and equals:
            out.append(f"{name}={_recipe(value, known)}")
        else:
            value_next = name in ("--config", "-c")
            out.append(argument)
    return out


def _recipe(value: str, known: dict[str, Path]) -> str:
    if Path(value).is_file():
        return value
    if value in known:
        return str(known[value])
    raise UsageError(f"no file and no recipe {value!r}; recipes: {', '.join(known)}")


class ExportModel(L.Callback):
    """Writes the trained model as a folder at the end; on Ctrl-C or SIGTERM a checkpoint instead.

    Args:
        folder: where; default ``model`` inside the run's folder.
        name: name of the model; default: name of the run's folder.
        data: one line on the data, for the card.
        sampling: default settings of generation, stored with the model.
    """

    def __init__(
        self,
        folder: str | None = None,
        name: str | None = None,
        data: str = "",
        sampling: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.name, self.data, self.sampling = folder, name, data, sampling or {}

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        stopped = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        if stopped and trainer.global_step > 0:
            path = Path(trainer.default_root_dir) / "interrupted.ckpt"
            trainer.save_checkpoint(path)
            _say(f"interrupted: checkpoint written to {path}; go on with --ckpt_path {path}")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit" or trainer.global_step == 0:
            return
        assert isinstance(pl_module, AutoregressiveTask)
        model = whole_model(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        root = Path(trainer.default_root_dir)
        folder = Path(self.folder) if self.folder else root / "model"
        name = self.name or root.name
        info = {
            "recipe": name,
            "data": self.data,
            "steps": trainer.global_step,
            "parameters": sum(p.numel() for p in model.parameters()),
            "hardware": _hardware(trainer),
            "versions": {"torch": str(torch.__version__), "lightning": L.__version__},
        }
        card = _card(name, info, {k: float(v) for k, v in trainer.callback_metrics.items()})
        content = ModelFolder(name, model, pl_module.tokenizer, self.sampling, info, card)
        save_folder(folder, content)
        print(f"model written to {folder}")


def _hardware(trainer: L.Trainer) -> str:
    if torch.cuda.is_available():
        return f"{trainer.world_size} x {torch.cuda.get_device_name()}"
    return f"CPU ({platform.machine()}), {trainer.world_size} x {torch.get_num_threads()} threads"


def _card(name: str, info: dict[str, Any], metrics: dict[str, float]) -> str:
    lines = [f"# {name}", "", f"- data: {info['data'] or 'see the recipe'}"]
    lines += [f"- {key}: {info[key]}" for key in ("recipe", "steps", "parameters", "hardware")]
    lines += ["", "## Losses at the end of training", ""]
    lines += [f"- {key}: {value:.4f}" for key, value in sorted(metrics.items())]
    return "\n".join(lines) + "\n"


class TrainingCLI(LightningCLI):
    """LightningCLI of SciAR.

    The data module's fitted tokenizer decides the model's vocabulary; bf16 in a recipe holds where
    the machine has it. Loggers (CSV and TensorBoard unless the recipe or command names others) and
    checkpoints go to ``trainer.default_root_dir``, so that this one option moves a whole run.
    """

    def __init__(
        self,
        task: type[AutoregressiveTask],
        data: type[StructureData],
        args: list[str],
        **options: Any,
    ) -> None:
        self._insists = any(a.partition("=")[0] == "--trainer.precision" for a in args)
        self._rows: list[dict[str, Any]] = []
        super().__init__(task, data, args=args, **options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments(
            "data", "model.tokenizer", compute_fn=_fitted_tokenizer, apply_on="instantiate"
        )
        parser.add_argument("--json", type=str, default="", help="file for the numbers at the end")

    def before_instantiate_classes(self) -> None:
        """Replace a recipe's bf16 by fp32 where the CPU has no native bf16 and nobody insists.

        Raises:
            UsageError: the checkpoint to go on from does not exist, or a logger's package is not
                installed.
        """
        checkpoint = self.config[self.subcommand].get("ckpt_path")
        if checkpoint and "." in checkpoint and not _exists(checkpoint):
            raise UsageError(f"--ckpt_path {checkpoint}: no such file")
        trainer = self.config[self.subcommand].trainer
        if "WandbLogger" in str(trainer.logger) and find_spec("wandb") is None:
            raise UsageError(
                "logging to Weights & Biases needs its package: pip install 'sciar[wandb]'"
            )
        if trainer.precision != HALF or self._insists:
            return
        if fitting_precision(str(trainer.accelerator)) == FULL:
            trainer.precision = FULL
            _say(
                f"no native bf16 on this CPU: precision {FULL} instead of {HALF}; "
                f"to insist, add --trainer.precision {HALF}"
            )

    def instantiate_trainer(self, **options: Any) -> L.Trainer:
        """The trainer, with loggers and checkpoints inside its folder."""
        given = self.config_init[self.subcommand].trainer
        root = Path(given.default_root_dir or ".")
        if given.logger in (None, True):
            options["logger"] = [CSVLogger(root, "csv"), TensorBoardLogger(root, "tensorboard")]
        for callback in given.callbacks or ():
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(root / "checkpoints")
        if given.strategy == STRATEGY:
            options["strategy"] = sharded(self.model, list(given.callbacks or ()))
        return super().instantiate_trainer(**options)

    def predict(self, **options: Any) -> None:
        """Losses of each record of the test split: JSON lines, and rows of ``--json``."""
        found: Any = self.trainer.predict(**options)
        ids = self.datamodule.predicted_ids
        self._rows = [{"id": ids[row.pop("record")], **row} for row in found]
        for row in self._rows:
            print(json.dumps(row))

    def after_run(self) -> None:
        """Write the numbers of the run, if ``--json`` asks for it."""
        path = self.config[self.subcommand].json
        if not path or not self.trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in self.trainer.callback_metrics.items()}
        numbers: dict[str, Any] = {
            "command": self.subcommand,
            "steps": self.trainer.global_step,
            "metrics": metrics,
        }
        if self._rows:
            numbers["records"] = self._rows
        write_json(path, numbers)

    after_fit = after_validate = after_test = after_predict = after_run


def _exists(checkpoint: str) -> bool:
    return "://" in checkpoint or checkpoint.startswith("registry") or Path(checkpoint).exists()


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)


def _fitted_tokenizer(data: StructureData) -> Any:
    return data.fitted_tokenizer


def main(arguments: ArgsType = None) -> TrainingCLI:
    """Run a training command with arguments as on the command line (without ``sciar``)."""
    given = sys.argv[1:] if arguments is None else arguments
    assert isinstance(given, list)
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        return TrainingCLI(
            AutoregressiveTask,
            StructureData,
            args=with_recipes(given),
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
        )
