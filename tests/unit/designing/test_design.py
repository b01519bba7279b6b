"""Design runs: methods, bad objectives, resuming, diversity, and learning that learns."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import objectives
import pytest
import torch
from tiny_models import tiny_config, tiny_model

import sciar
from sciar.api import Model
from sciar.cli import main
from sciar.designing.diversity import DiversityFilter
from sciar.designing.learning import LearningSettings, policy_gradient, word_log_probability
from sciar.designing.objectives import ShapeSimilarity, objective_of, sa, symmetry, window
from sciar.designing.run import METHODS
from sciar.designing.scoring import RAISED, TIMED_OUT, WRONG, Scorer, key_of
from sciar.errors import RecordError, UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.records import Crystal, Molecule
from sciar.tokenization.kekule import parse
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.packing import pack

SMALL = {"steps": 3, "batch_size": 4, "lr": 1e-3}


def molecule(smiles: str) -> Molecule:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return Molecule.from_rdkit(mol)


def points(n: int) -> Molecule:
    """Atoms in a row, without bonds."""
    return Molecule(("C",) * n, np.arange(3.0 * n).reshape(n, 3))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    tokenizer = MoleculeTokenizer(task="denovo", max_atoms=14)
    tokenizer.fit_statistics([molecule(s) for s in ("CCO", "CN", "CC=O", "C1CC1")])
    # Heads as initialised say where atoms belong; only the words are shaken awake.
    network = tiny_model(tokenizer, tiny_config(head_options={"steps": 2}), shake=0.0)
    return Model(ModelFolder("tiny", network, tokenizer, {}, {}, ""))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def run(model: Model, folder: Path, **options: Any) -> Any:
    usual: dict[str, Any] = {"rounds": 2, "n": 6, "keep": 4, "timeout": None, "learning": SMALL}
    return sciar.design(model, objectives.carbons, folder, **{**usual, **options})


@pytest.mark.parametrize("method", METHODS)
def test_a_run_writes_a_row_for_every_sample_and_goes_on(
    method: str, model: Model, tmp_path: Path
) -> None:
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    lines: list[str] = []
    whole = run(model, tmp_path / "a", method=method, rounds=3, tell=lines.append)
    assert len(lines) == 3 and len(rows_of(tmp_path / "a")) == 18
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())
    values = [c.value for c in whole.best]
    assert values == sorted(values, reverse=True) and len(whole.best) <= 4
    assert len({key_of(c.structure) for c in whole.best}) == len(whole.best)
    assert list((tmp_path / "a" / "tensorboard").iterdir())
    # interrupted after two rounds, and in the middle of the third: the same run in the end
    run(model, tmp_path / "b", method=method, rounds=2)
    with (tmp_path / "b" / "scores.csv").open("a") as file:
        file.write("2,2_0,ok,,CC,k,1.0,1.0,ok,,0,0.0\n")
    parted = run(model, tmp_path / "b", method=method, rounds=3)
    assert [c.id for c in parted.best] == [c.id for c in whole.best]
    told = [
        [(r["id"], r["structure"], r["status"]) for r in rows_of(tmp_path / name)] for name in "ab"
    ]
    assert told[0] == told[1]
    # nothing is drawn again where everything is done
    again = run(model, tmp_path / "b", method=method, rounds=3)
    assert [c.id for c in again.best] == [c.id for c in whole.best]
    with pytest.raises(UsageError, match="another model, objective or settings"):
        run(model, tmp_path / "b", method=method, rounds=3, n=7)


def test_bad_objectives_become_rows(tmp_path: Path) -> None:
    structures = [points(n) for n in (5, 6, 7, 8, 9, 9)]
    with Scorer(objectives.moody, jobs=2, timeout=3.0) as scorer:
        found = scorer.score(structures)  # type: ignore[arg-type]
    assert [s.status for s in found] == [RAISED, TIMED_OUT, WRONG, WRONG, "ok", "ok"]
    assert "ValueError: 5 atoms" in found[0].message and "finite" in found[2].message
    assert "not str" in found[3].message
    assert [s.cached for s in found] == [False] * 5 + [True]
    with Scorer(objectives.deadly, jobs=1, timeout=30.0) as scorer:
        first, second = scorer.score([points(2), points(3)])
    assert first.status == RAISED and "exit code 7" in first.message and second.value == 1.0
    with pytest.raises(UsageError, match="put it into a module"):
        Scorer(lambda s: 1.0, jobs=2)
    with Scorer(lambda s: 1.0, timeout=None) as scorer:
        assert scorer.score([points(2)])[0].value == 1.0


def test_policy_gradient_raises_what_is_rewarded(model: Model) -> None:
    """Rewarded sequences become likelier than those that are not."""
    import copy

    tokenizer = model.tokenizer
    good, bad = (tokenizer.encode(molecule(s)) for s in ("CCC", "CNO"))
    learner = copy.deepcopy(model.network)
    sequences = [good, bad] * 4
    scores = [1.0, 0.0] * 4
    settings = LearningSettings(steps=25, batch_size=8, lr=3e-3, strength=10.0)
    policy_gradient(learner, model.network, sequences, scores, settings, 0)
    with torch.no_grad():
        batch = pack([good, bad])
        change = word_log_probability(learner, batch) - word_log_probability(model.network, batch)
    assert change[0] > 2 and change[0] > change[1] + 2


def test_log_probabilities_are_those_of_the_words_alone(model: Model) -> None:
    sequences = [model.tokenizer.encode(molecule(s)) for s in ("CCO", "C")]
    found = word_log_probability(model.network, pack(sequences))
    # untrained: every word of the vocabulary is as likely as the others
    counts = torch.tensor([4.0, 2.0])  # three symbols or one, and the end
    torch.testing.assert_close(found.detach(), -counts * np.log(len(model.tokenizer.vocabulary)))


def test_the_filter_counts_likeness() -> None:
    memory = DiversityFilter(size=2, similarity=0.6)
    admitted = [memory.admit(molecule(s)) for s in ("CCCCO", "CCCCO", "CCCCO", "c1ccccc1", "CCCCO")]
    assert admitted == [True, True, False, True, False]
    off = DiversityFilter(size=0)
    assert all(off.admit(molecule("CCO")) for _ in range(5))
    salt = Crystal(5.6 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])
    larger = Crystal(5.7 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])
    other = Crystal(5.7 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.4, 0.5, 0.3]])
    memory = DiversityFilter(size=1)
    assert [memory.admit(c) for c in (salt, larger, other)] == [True, False, True]
    with pytest.raises(UsageError, match="similarity"):
        DiversityFilter(similarity=2.0)


def test_built_in_objectives() -> None:
    ethanol, salt = molecule("CCO"), Crystal(4.2 * np.eye(3), ("Cs", "Cl"), [[0, 0, 0], [0.5] * 3])
    assert 0 < objective_of("qed")(ethanol) < 1
    assert sa(ethanol) > sa(molecule("C1CC2CC1C1CC21"))
    assert window(ethanol, "weight", 40, 50) == 1.0
    assert window(ethanol, "weight", 50, 60) == pytest.approx(1 / (1 + 2 * 0.393), abs=1e-2)
    assert objective_of("weight:40:50")(ethanol) == 1.0
    like = ShapeSimilarity(ethanol)
    assert like(ethanol) == pytest.approx(1.0) and like(molecule("CCCCCCC")) < 0.9
    assert symmetry(salt) == pytest.approx(np.log(48) / np.log(192))
    assert objective_of("objectives:carbons") is objectives.carbons
    assert isinstance(objective_of(partial(window, name="logp", low=1, high=2)), partial)
    with pytest.raises(RecordError, match="only a crystal"):
        symmetry(ethanol)
    with pytest.raises(RecordError, match="coordinates"):
        like(Molecule(("C", "C", "O"), None, mol=parse("CCO")))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beauty", "no objective 'beauty'; known are"),
        ("logp:3:2", "window is empty"),
        ("logp:a:b", "NAME:LOW:HIGH"),
        ("objectives:nothing", "nothing"),
        ("nowhere:nothing", "nowhere"),
        ("numpy:pi", "no callable"),
    ],
)
def test_unknown_objectives_are_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        objective_of(name)


def test_wrong_calls(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method 'luck'"):
        run(model, tmp_path / "a", method="luck")
    with pytest.raises(UsageError, match="other options"):
        run(model, tmp_path / "a", colour=1)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no design run"):
        run(model, tmp_path)


def test_the_command_line(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_folder(tmp_path / "model", model.content)
    best = tmp_path / "best.smi"
    words = ["design", str(tmp_path / "model"), "atoms", "--out", str(tmp_path / "run"), "-n", "4"]
    code = main([*words, "--rounds", "1", "--condition", "max_atoms=9", "--write", str(best)])
    assert code in (0, 1, 3)
    told = capsys.readouterr()
    assert "of 4 structures scored" in told.out and "round 0" in told.err
    assert len(rows_of(tmp_path / "run")) == 4
