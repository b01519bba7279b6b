"""``sciar fit|validate|test|predict``: a LightningCLI over packaged recipes."""

from __future__ import annotations

import json
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sciar.datasets.answer_data import AnswerData
from sciar.datasets.datamodule import StructureData
from sciar.datasets.files import write_json
from sciar.datasets.program_data import ProgramData
from sciar.datasets.residue_data import ResidueData
from sciar.datasets.volume_data import VolumeData
from sciar.errors import UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.model import AutoregressiveModel
from sciar.nn.encoders.folder import EncoderFolder, save_encoder
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.objectives.next_token import NextTokenObjective
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.masked_residues import MaskedResidueTask
from sciar.tasks.precision import FULL, HALF, fitting_precision
from sciar.tasks.sharding import STRATEGY, sharded, whole_model

# A recipe may name another objective by its class path, or give the options of the usual one.
set_parsing_settings(subclasses_enabled=[NextTokenObjective])
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
        model = self._whole(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        root = Path(trainer.default_root_dir)
        folder = Path(self.folder) if self.folder else root / "model"
        name = self.name or root.name
        info = {
            "recipe": name,
            "data": self.data,
            **_counts(trainer),
            **getattr(trainer.datamodule, "facts", {}),  # type: ignore[attr-defined]
            **_format(trainer),
            **getattr(pl_module, "facts", {}),
            **_objective(pl_module),
            "steps": trainer.global_step,
            "parameters": sum(p.numel() for p in model.parameters()),
            "hardware": _hardware(trainer),
            "versions": {"torch": str(torch.__version__), "lightning": L.__version__},
        }
        card = _card(name, info, {k: float(v) for k, v in trainer.callback_metrics.items()})
        if isinstance(model, MaskedLM):
            save_encoder(folder, EncoderFolder(name, model, info, card))
        else:
            assert isinstance(pl_module, AutoregressiveTask)
            content = ModelFolder(name, model, pl_module.tokenizer, self.sampling, info, card)
            save_folder(folder, content)
        print(f"model written to {folder}")

    def _whole(
        self, trainer: L.Trainer, module: L.LightningModule
    ) -> AutoregressiveModel | MaskedLM:
        if isinstance(module, MaskedResidueTask):
            return module.model
        assert isinstance(module, AutoregressiveTask)
        return whole_model(trainer, module)


def _objective(module: L.LightningModule) -> dict[str, Any]:
    """What the model was trained for, which tells how it may be read."""
    if not isinstance(module, AutoregressiveTask):
        return {}
    objective = module.objective
    return {"objective": {"name": type(objective).__name__, **asdict(objective)}}


def _counts(trainer: L.Trainer) -> dict[str, Any]:
    """What the data module counted, if it counts."""
    counts = getattr(trainer.datamodule, "counts", None)  # type: ignore[attr-defined]
    return {"counts": counts} if counts else {}


def _format(trainer: L.Trainer) -> dict[str, Any]:
    """How the files of the training data were read, if their names did not tell."""
    format = getattr(trainer.datamodule, "format", None)  # type: ignore[attr-defined]
    return {"format": format} if format else {}


def _hardware(trainer: L.Trainer) -> str:
    if torch.cuda.is_available():
        return f"{trainer.world_size} x {torch.cuda.get_device_name()}"
    return f"CPU ({platform.machine()}), {trainer.world_size} x {torch.get_num_threads()} threads"


def _card(name: str, info: dict[str, Any], metrics: dict[str, float]) -> str:
    lines = [f"# {name}", "", f"- data: {info['data'] or 'see the recipe'}"]
    lines += [f"- {key}: {info[key]}" for key in ("recipe", "steps", "parameters", "hardware")]
    lines += [f"- {key}: {value:,}" for key, value in info.get("counts", {}).items()]
    lines += ["", "## Losses at the end of training", ""]
    lines += [f"- {key}: {value:.4f}" for key, value in sorted(metrics.items())]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Kind:
    """What a recipe trains.

    Attributes:
        task: the LightningModule.
        data: its data.
        links: argument of the task -> how the data decides it.
    """

    task: type[L.LightningModule]
    data: type[L.LightningDataModule]
    links: dict[str, Callable[[Any], Any]]


def _fitted_tokenizer(data: StructureData) -> Any:
    return data.fitted_tokenizer


def _background(data: ResidueData) -> list[float]:
    return data.background


KINDS = {
    "structures": Kind(AutoregressiveTask, StructureData, {"model.tokenizer": _fitted_tokenizer}),
    "answers": Kind(AutoregressiveTask, AnswerData, {"model.tokenizer": _fitted_tokenizer}),
    "volumes": Kind(AutoregressiveTask, VolumeData, {"model.tokenizer": _fitted_tokenizer}),
    "programs": Kind(AutoregressiveTask, ProgramData, {"model.tokenizer": _fitted_tokenizer}),
    "masked-residues": Kind(MaskedResidueTask, ResidueData, {"model.background": _background}),
}
"""Name that a recipe gives as ``task`` -> what is trained; ``structures`` needs no name."""
_TASK_HELP = f"what is trained: {', '.join(KINDS)}; a recipe says it"


def kind_of(arguments: Sequence[str]) -> Kind:
    """What arguments, as :func:`with_recipes` returns them, ask to train.

    Raises:
        UsageError: an unknown task, or a configuration that is not readable as YAML.
    """
    name = "structures"
    for option, value in _given(arguments):
        if option == "--task":
            name = value
        elif Path(value).is_file():
            try:
                content = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise UsageError(f"{value}: not readable as YAML ({error})") from error
            if isinstance(content, dict):
                inside = content.get(arguments[0] if arguments else "")
                name = str((inside or content).get("task") or content.get("task") or name)
    if name not in KINDS:
        raise UsageError(f"unknown task {name!r}; known: {', '.join(KINDS)}")
    return KINDS[name]


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) of the options that decide the kind, in order."""
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--config", "-c", "--task") and (equals or place + 1 < len(arguments)):
            yield option, value if equals else arguments[place + 1]


class TrainingCLI(LightningCLI):
    """LightningCLI of SciAR.

    The data decides what only they know (a fitted tokenizer, hence the vocabulary); bf16 in a
    recipe holds where the machine has it. Loggers (CSV and TensorBoard unless the recipe or command
    names others) and checkpoints go to ``trainer.default_root_dir``, so that this one option moves
    a whole run.
    """

    def __init__(
        self,
        task: type[L.LightningModule],
        data: type[L.LightningDataModule],
        args: list[str],
        **options: Any,
    ) -> None:
        self._links = next(k.links for k in KINDS.values() if k.task is task and k.data is data)
        self._insists = any(a.partition("=")[0] == "--trainer.precision" for a in args)
        self._rows: list[dict[str, Any]] = []
        super().__init__(task, data, args=args, **options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for target, compute in self._links.items():
            parser.link_arguments("data", target, compute_fn=compute, apply_on="instantiate")
        parser.add_argument("--task", type=str, default="structures", help=_TASK_HELP)
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
            if not isinstance(self.model, AutoregressiveTask):
                raise UsageError(f"an encoder is not sharded: no --trainer.strategy {STRATEGY}")
            options["strategy"] = sharded(self.model, list(given.callbacks or ()))
        return super().instantiate_trainer(**options)

    def predict(self, **options: Any) -> None:
        """Losses of each record of the test split: JSON lines, and rows of ``--json``.

        Raises:
            UsageError: the task makes no rows.
        """
        if not isinstance(self.model, AutoregressiveTask):
            raise UsageError("predict writes losses of structures; to score an encoder, validate")
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


def main(arguments: ArgsType = None) -> TrainingCLI:
    """Run a training command with arguments as on the command line (without ``sciar``)."""
    given = sys.argv[1:] if arguments is None else arguments
    assert isinstance(given, list)
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        arguments = with_recipes(given)
        kind = kind_of(arguments)
        return TrainingCLI(
            kind.task,
            kind.data,
            args=arguments,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
        )
