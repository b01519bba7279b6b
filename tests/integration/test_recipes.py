"""Every packaged recipe parses; every tiny one trains."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sciar.errors import UsageError
from sciar.folder import load_folder
from sciar.nn.encoders.folder import load_encoder_folder
from sciar.tasks import precision
from sciar.training import KINDS, TrainingCLI, kind_of, main, recipes, with_recipes

pytestmark = [
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    pytest.mark.filterwarnings("ignore:.*add_instantiator"),
    pytest.mark.filterwarnings("ignore:.*JsonargparseDeprecationWarning"),
]
ALL = recipes()
CONTENTS = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in ALL.items()}
ENCODERS = {name for name, content in CONTENTS.items() if content.get("task") == "masked-residues"}
VOLUMES = {name for name, content in CONTENTS.items() if content.get("task") == "volumes"}
TINY = {name: path for name, path in ALL.items() if name.startswith("tiny-")}


class Made(TrainingCLI):
    """Makes everything and runs nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing."""


class Parsed(Made):
    """Parses only."""

    def instantiate_classes(self) -> None:
        """Nothing."""


def made(*arguments: str, kind: type[TrainingCLI] = Made) -> TrainingCLI:
    """A training command that does not start."""
    given = with_recipes(["fit", *arguments])
    what = kind_of(given)
    return kind(what.task, what.data, args=given)


def parsed(*arguments: str) -> Any:
    """What the command line would run, without running it."""
    return made(*arguments, kind=Parsed).config["fit"]


def test_there_is_a_tiny_recipe_of_each_recipe() -> None:
    assert {f"tiny-{name}" for name in ALL if not name.startswith("tiny-")} <= set(ALL)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_recipes_of_encoders_parse(name: str) -> None:
    config, content = parsed("--config", name), CONTENTS[name]
    assert config.trainer.max_steps == content["trainer"]["max_steps"]
    assert config.model.encoder.width == content["model"]["encoder"]["width"]
    assert config.data.sources == content["data"]["sources"]


def test_the_recipe_decides_what_is_trained(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("task: masked-residues\n", encoding="utf-8")
    encoders, structures = KINDS["masked-residues"], KINDS["structures"]
    assert kind_of(["fit", "--config", str(own)]) == encoders
    assert kind_of(["fit", f"-c={own}", "--task=structures"]) == structures
    assert kind_of(["fit"]) == structures
    own.write_text("task: poetry\n", encoding="utf-8")
    with pytest.raises(UsageError, match="masked-residues"):
        kind_of(["fit", "--config", str(own)])
    own.write_text("a: [\n", encoding="utf-8")
    with pytest.raises(UsageError, match="not readable"):
        kind_of(["fit", "--config", str(own)])


@pytest.mark.parametrize("name", sorted(set(ALL) - ENCODERS))
def test_recipes_parse(name: str) -> None:
    config = parsed("--config", name)
    content = yaml.safe_load(ALL[name].read_text(encoding="utf-8"))
    assert config.trainer.max_steps == content["trainer"]["max_steps"]
    assert config.model.model.decoder.hidden == content["model"]["model"]["decoder"]["hidden"]
    assert config.data.tokenizer.class_path == content["data"]["tokenizer"]["class_path"]


@pytest.mark.parametrize("name", ALL)
def test_recipes_name_their_run(name: str) -> None:
    """Folder, export name and file name agree, so that runs do not overwrite each other."""
    content = yaml.safe_load(ALL[name].read_text(encoding="utf-8"))
    assert content["trainer"]["default_root_dir"] == f"runs/{name}"
    exports = [
        c["init_args"]["name"]
        for c in content["trainer"]["callbacks"]
        if c["class_path"] == "sciar.training.ExportModel"
    ]
    assert exports == [name]


@pytest.mark.parametrize("name", ALL)
def test_recipes_name_their_folder_once(name: str) -> None:
    """Else ``--trainer.default_root_dir`` would leave parts of a run behind."""
    assert ALL[name].read_text(encoding="utf-8").count(f"runs/{name}") == 1


def test_one_option_moves_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large recipe, shrunk: logs, settings, checkpoints and model go where it says."""
    work, root = tmp_path / "work", tmp_path / "elsewhere" / "run"
    work.mkdir()
    monkeypatch.chdir(work)
    shrunk = {
        "trainer.default_root_dir": root, "trainer.max_steps": 2, "trainer.accelerator": "cpu",
        "trainer.precision": "32-true", "trainer.enable_progress_bar": "false",
        "trainer.val_check_interval": 1, "trainer.log_every_n_steps": 1,
        "data.train": "[sample-crystals]", "data.cache": root / "cache",
        "data.tokenizer.init_args.max_atoms": 6, "data.batch_tokens": 256,
        "model.model.decoder.layers": 1, "model.model.decoder.hidden": 32,
        "model.model.heads": '{default: {options: {hidden: 32, depth: 1}}}',
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in shrunk.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cli = main(["fit", "--config", "perov5-csp", *options])
    assert cli.trainer.global_step == 2
    assert not list(work.rglob("*"))
    assert [p.name for p in root.parent.iterdir()] == ["run"]
    for part in ("checkpoints/last.ckpt", "csv/version_0/metrics.csv", "model/card.md"):
        assert (root / part).is_file(), sorted(str(p) for p in root.rglob("*"))
    assert list(root.glob("tensorboard/version_0/events.*"))
    saved = yaml.safe_load((root / "csv" / "version_0" / "config.yaml").read_text())
    assert str(root) not in str(saved["trainer"]["callbacks"])
    assert "train/site" in (root / "csv/version_0/metrics.csv").read_text().splitlines()[0]


def test_loggers_that_are_named_replace_the_usual_ones(tmp_path: Path) -> None:
    own = (
        f"{{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {{save_dir: {tmp_path}}}}}"
    )
    for logger, kinds in ((own, ["CSVLogger"]), ("false", [])):
        cli = made("--config", "tiny-mp20-csp", f"--trainer.logger={logger}")
        assert [type(x).__name__ for x in cli.trainer.loggers] == kinds
    cli = made("--config", "tiny-mp20-csp", "--trainer.logger=null")
    assert [type(x).__name__ for x in cli.trainer.loggers] == ["CSVLogger", "TensorBoardLogger"]


@pytest.mark.parametrize("name", sorted(set(TINY) & ENCODERS))
def test_tiny_encoders_train(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cli = main(
            ["fit", "--config", name, "--trainer.max_steps", "6", "--trainer.accelerator", "cpu",
             "--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "6",
             "--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", str(tmp_path)]
        )  # fmt: skip
    metrics = cli.trainer.callback_metrics
    assert torch.isfinite(metrics["train/loss"]) and metrics["val/hidden_residues"] > 10
    assert metrics["val/perplexity"] == pytest.approx(float(metrics["val/loss"].exp()))
    assert metrics["val/unigram_perplexity"] > 1
    found = load_encoder_folder(tmp_path / "model")
    assert found.name == name and found.info["steps"] == 6
    assert found.info["counts"]["test"] == 16 and "related to test" in found.card
    with pytest.raises(UsageError, match="validate"):
        main(["predict", "--config", name, "--trainer.accelerator", "cpu",
              "--trainer.enable_progress_bar", "false"])  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(TINY) - ENCODERS))
def test_tiny_recipes_train(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # the sample holds a few structures that a small vocabulary or limit leaves out
        warnings.simplefilter("ignore")
        cli = main(
            ["fit", "--config", name, "--trainer.max_steps", "2", "--trainer.accelerator", "cpu",
             "--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", str(tmp_path)]
        )  # fmt: skip
    assert cli.trainer.global_step == 2
    loss = cli.trainer.callback_metrics["train/loss"]
    assert torch.isfinite(loss)
    shown = {key.partition("/")[2] for key in cli.trainer.progress_bar_metrics}
    kinds = {slot.name.strip("<>") for slot in cli.model.model.vocabulary.slots}
    kinds |= {"random", "next", "next_all", "masked", "affinity"} if name in VOLUMES else set()
    tasks = {task.name for task in getattr(cli.model.tokenizer, "tasks", ())}
    few = len(tasks) <= 6  # more would not fit on it
    assert "loss" in shown
    read = {name.removesuffix(" at once") for name in shown}
    assert read & (kinds | tasks) or not few, "no loss by slot type or task on the bar"
    content = load_folder(tmp_path / "model")
    assert content.name == name
    assert content.info["steps"] == 2


def test_an_octree_model_may_be_asked_and_draw_levels_at_once(tmp_path: Path) -> None:
    """The options of docs/reproduce.md: masked next token with private questions."""
    import sciar

    objective = "sciar.objectives.masked_next_token.MaskedNextTokenObjective"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(
            ["fit", "--config", "tiny-qm9-octree", "--trainer.max_steps", "2",
             "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false",
             "--trainer.default_root_dir", str(tmp_path), "--data.limit", "20",
             "--model.objective", objective, "--model.objective.at_once", "0.5",
             "--model.model.questions", "true", "--model.model.private", "true"]
        )  # fmt: skip
    model = sciar.load(tmp_path / "model")
    for options in ({}, {"at_once": True}):
        made = model.generate(conditions={"atoms": 4}, n=3, seed=1, **options)
        assert [len(s.record or s.rejected) for s in made] == [4, 4, 4]


def test_a_recipe_may_be_a_file_or_a_name(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(ALL["tiny-mp20-csp"].read_text(encoding="utf-8"), encoding="utf-8")
    assert with_recipes(["fit", "--config", str(own)]) == ["fit", "--config", str(own)]
    named = with_recipes(["fit", "--config=tiny-mp20-csp", "-c", "tiny-mp20-csp"])
    assert named == [
        "fit", f"--config={ALL['tiny-mp20-csp']}", "-c", str(ALL["tiny-mp20-csp"])
    ]  # fmt: skip


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="tiny-mp20-csp"):
        with_recipes(["fit", "--config", "no-such-recipe"])


def test_options_override_the_recipe() -> None:
    config = parsed("--config", "tiny-mp20-csp", "--model.lr", "0.5", "--data.limit", "3")
    assert (config.model.lr, config.data.limit) == (0.5, 3)


@pytest.mark.parametrize(
    ("native", "options", "wanted"),
    [
        (True, (), "bf16-mixed"),
        (False, (), "32-true"),
        (False, ("--trainer.precision", "bf16-mixed"), "bf16-mixed"),
        (False, ("--trainer.precision=bf16-mixed",), "bf16-mixed"),
        (False, ("--trainer.precision", "16-mixed"), "16-mixed"),
        (False, ("--trainer.accelerator", "gpu"), "bf16-mixed"),
    ],
)
def test_precision_fits_the_machine(
    native: bool,
    options: tuple[str, ...],
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda: native)
    config = parsed("--config", "perov5-csp", "--trainer.accelerator", "cpu", *options)
    assert config.trainer.precision == wanted
    told = capsys.readouterr().out
    assert ("--trainer.precision bf16-mixed" in told) == (wanted == "32-true")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_answers_are_scored_in_validation(tmp_path: Path) -> None:
    """With averaged weights, and a checkpoint that is chosen by a task's figure."""
    folder = ["--trainer.default_root_dir", str(tmp_path), "--trainer.max_steps", "4"]
    more = ["--trainer.val_check_interval", "2", "--trainer.check_val_every_n_epoch", "null"]
    callbacks = (
        "[{class_path: sciar.tasks.averaging.EMAWeightAveraging, init_args: {decay: 0.9}},"
        " {class_path: lightning.pytorch.callbacks.ModelCheckpoint,"
        " init_args: {monitor: val/deeploc/accuracy, mode: max, filename: best}},"
        " {class_path: sciar.api.validation.ScoreAnswers, init_args: {records: 4}},"
        " {class_path: sciar.training.ExportModel, init_args: {name: scored}}]"
    )
    given = ["--config", "tiny-protein-multitask", *folder, *more, "--trainer.callbacks", callbacks]
    main(["fit", *given])
    card = (tmp_path / "model" / "card.md").read_text(encoding="utf-8")
    for figure in ("deeploc/accuracy", "meltome/spearman", "secondary_structure/residues"):
        assert f"val/{figure}" in card
    assert list(tmp_path.rglob("best.ckpt"))


def test_an_encoder_takes_the_place_of_the_letters(tmp_path: Path) -> None:
    """As the README says it, options of the recipe's own input left out."""
    given = {
        "<residue>": {
            "type": "sciar.nn.encoders.residues.ResidueEncoder",
            "options": {"weights": "encoder-nano"},
        }
    }
    words = ["--trainer.default_root_dir", str(tmp_path), "--trainer.max_steps", "1"]
    main(
        [
            "fit",
            "--config",
            "tiny-protein-deeploc",
            *words,
            "--model.model.inputs",
            json.dumps(given),
        ]
    )
    content = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text(encoding="utf-8"))
    made = content["model"]["inputs"]["<residue>"]["options"]
    assert made["width"] == 128 and made["layers"] == 6 and "local" not in made
