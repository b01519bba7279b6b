"""Baselines of proteins: solvers against slow ones, rules that they must find, and the script."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from answer_models import network

from benchmarks.proteins import linear
from benchmarks.proteins.__main__ import METHODS, main
from benchmarks.proteins.networks import Baseline, Encoded, OneHot, Training
from benchmarks.proteins.sets import EXPERIMENTS, Example, Experiment, experiment, headline, scores
from sciar.errors import UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.nn.encoders.esm2 import Esm2, Esm2Config
from sciar.nn.encoders.folder import EncoderFolder, save_encoder
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.tokenization.protein import ProteinTokenizer

CONFIG = Esm2Config(layers=2, width=16, heads=2, feed_forward=32)


def examples(count: int, kind: str, seed: int, length: int = 30) -> list[Example]:
    """Proteins whose labels follow from their residues."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        sequence = "".join(rng.choice(list("ACDEGKL"), length))
        label = {
            "number": float(sequence.count("A") - 2 * (sequence[3] == "K")),
            "class": "rich" if sequence.count("A") > length / 7 else "poor",
            "terms": tuple(sorted({"1.-"} | ({"1.2"} if sequence.count("A") > 4 else set()))),
            "residues": "".join("H" if a in "AK" else "C" for a in sequence),
            "sites": tuple(i for i, a in enumerate(sequence) if i and a + sequence[i - 1] == "KA"),
        }[kind]
        counted = np.array([a == "K" or kind != "sites" for a in sequence])
        made.append(Example(f"{index}", sequence, label, counted))
    return made


def parts_of(kind: str, count: int = 160) -> dict[str, list[Example]]:
    sizes = {"train": count, "val": 40, "test": 40}
    return {name: examples(n, kind, seed) for seed, (name, n) in enumerate(sizes.items())}


@pytest.mark.parametrize("shape", [(30, 6), (8, 20)])
def test_ridge_solves_its_equations(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape) + 3.0, rng.normal(size=(shape[0], 2)) - 1.0
    model = linear.Ridge(x, y)
    for strength in (0.1, 10.0):
        w = model.weights(strength)
        centred, target = x - x.mean(0), y - y.mean(0)
        np.testing.assert_allclose(
            centred.T @ (centred @ w - target) + strength * w, 0.0, atol=1e-8
        )
        np.testing.assert_allclose(model.predict(x, strength).mean(0), y.mean(0))


def test_features_say_what_they_should() -> None:
    few = [Example(str(i), s, 0.0, np.ones(3, bool)) for i, s in enumerate(("ACD", "ACE", "KCD"))]
    places = linear.varying(few)
    assert places.tolist() == [0, 2]
    hot = linear.one_hot("KCD", places)
    assert hot.sum() == 2 and hot[linear.LETTERS.index("K")] == 1
    paired = linear.with_pairs(hot)
    assert len(paired) == 40 + 400 and paired[40:].sum() == 1
    assert linear.composition("AAAK")[linear.LETTERS.index("A")] == 0.75
    around = linear.windows("AKX", 3)
    assert around.tolist() == [[20, 0, 8], [0, 8, 20], [8, 20, 20]]


@pytest.mark.parametrize("kind", ["number", "class", "terms", "residues", "sites"])
def test_baselines_find_a_rule(kind: str) -> None:
    given, parts = Experiment("made", "none", kind, "label"), parts_of(kind)
    if kind in ("residues", "sites"):
        made, settings = linear.ridge_windows(given, parts, width=5)
    else:
        made, settings = linear.ridge(given, parts, linear.composition)
    assert settings["strength"] > 0
    value = headline(given, scores(given, parts["test"], made["test"]))
    assert value > (0.95 if kind in ("residues", "sites") else 0.7)
    network = Baseline(given, parts, OneHot(), "cnn", Training(epochs=40, patience=40, lr=5e-3))
    found = network.fit()
    assert found["trained"] > 1000 and 1 <= found["best_epoch"] <= 40
    after = headline(given, scores(given, parts["test"], network.predict("test")))
    assert after > (0.9 if kind in ("residues", "sites") else 0.6)


def test_effects_that_multiply_are_found_in_logarithms() -> None:
    """Labels are products over positions; in their logarithms a ridge finds them all."""
    rng = np.random.default_rng(1)
    effects = rng.normal(0, 1.2, (3, 20))
    letters = rng.integers(0, 20, (400, 3))
    labels = np.exp(effects[np.arange(3), letters].sum(1)) - 0.05
    made = [
        Example(str(i), "".join(linear.LETTERS[k] for k in row), float(y), np.ones(3, bool))
        for i, (row, y) in enumerate(zip(letters, labels, strict=True))
    ]
    parts = {"train": made[:250], "val": made[250:300], "test": made[300:]}
    given = Experiment("made", "none", "number", "label")
    features = lambda s: linear.one_hot(s, np.arange(3))  # noqa: E731
    plain, _ = linear.ridge(given, parts, features)
    found, settings = linear.ridge_of_logarithms(given, parts, features)
    assert settings["offset"] == 0.05
    np.testing.assert_allclose(found["test"], labels[300:], rtol=0.2, atol=0.1)
    before, after = (scores(given, parts["test"], m["test"])["spearman"] for m in (plain, found))
    assert after > 0.99 > before


def test_heads_do_not_see_padding() -> None:
    torch.manual_seed(0)
    given = Experiment("made", "none", "number", "label")
    for head in ("cnn", "linear", "attention"):
        parts = parts_of("number", 6)
        short = examples(1, "number", 9, length=12)
        parts["alone"], parts["beside"] = short, short + examples(3, "number", 8, length=50)
        network = Baseline(given, parts, Encoded(Esm2(CONFIG)), head, Training(budget=10_000))
        alone, beside = network.raw("alone")[0], network.raw("beside")[0]
        np.testing.assert_allclose(alone, beside, atol=2e-3)


def test_only_the_last_blocks_learn() -> None:
    torch.manual_seed(0)
    encoder = Esm2(CONFIG)
    parts = parts_of("residues", 20)
    given = Experiment("made", "none", "residues", "label")
    network = Baseline(given, parts, Encoded(encoder, 1), "attention", Training(epochs=2, lr=0.05))
    network.fit()
    inside = network.reader.encoder.state_dict()
    moved = {n for n, p in encoder.state_dict().items() if not torch.equal(p, inside[n])}
    assert moved and all(n.startswith(("layers.1.", "norm.")) for n in moved)


def test_nearest_takes_the_label_of_the_closest() -> None:
    given = Experiment("made", "none", "terms", "label")
    parts = parts_of("terms", 10)
    parts["test"] = parts["train"][:3]
    made, _ = linear.nearest(given, parts)
    for example, found in zip(parts["test"], made["test"], strict=True):
        assert set(found) == set(example.label) and set(found.values()) == {1.0}


def test_bind_labels_come_apart_and_together() -> None:
    bind = experiment("bind")
    out = np.eye(8)[[0, 1, 6, 7]]
    assert linear.read_labels(bind, out, "01234567", 0.5) == "0167"
    rows = scores(bind, [Example("a", "ACDE", "0167", np.ones(4, bool))], ["0163"])
    assert rows["metal"]["counts"] == {"tp": 2, "fp": 0, "fn": 0, "tn": 2}
    assert rows["small"]["counts"]["fn"] == 1 and rows["nucleic"]["f1"] == 1.0
    with pytest.raises(UsageError, match="gb1-sampled"):
        experiment("nothing")


def test_the_script_runs_every_method_that_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder", EncoderFolder("e", MaskedLM(CONFIG), {}, ""))
    main(["sample", "--encoder", str(tmp_path / "encoder"), "--epochs", "1", "--blocks", "1",
          "--json", str(tmp_path / "out.json")])  # fmt: skip
    found = json.loads((tmp_path / "out.json").read_text())[0]
    names = [row["method"] for row in found["rows"]]
    assert names == ["ridge", "cnn", "linear-probe", "attention-pool", "last-k"]
    assert set(names) <= set(METHODS) and found["records"]["test"] == 16
    for row in found["rows"]:
        assert row["figures"]["residues"]["of"] > 500


def test_our_models_stand_beside_the_baselines(tmp_path: Path) -> None:
    tokens = ProteinTokenizer(only=["secondary_structure", "bind"])
    content = ModelFolder("small", network(tokens), tokens, {}, {}, "")
    save_folder(tmp_path / "small", content)
    main(["sample", "--methods", "ridge", "--limit", "6", "--model", str(tmp_path / "small"),
          "--json", str(tmp_path / "out.json")])  # fmt: skip
    ridge, ours = json.loads((tmp_path / "out.json").read_text())[0]["rows"]
    assert ours["method"] == "small:secondary_structure"
    assert ours["figures"]["residues"]["of"] == ridge["figures"]["residues"]["of"] > 200
    assert ours["figures"]["coverage"] == 1.0 and ours["figures"]["records"] == 6


@pytest.mark.shared
def test_experiments_read_their_records(shared_data: Path) -> None:
    for name in ("gb1-low-vs-high", "bind", "ec"):
        given = EXPERIMENTS[name]
        for part in ("val", *given.tests):
            found = given.examples(part, limit=5)
            assert len(found) == 5 and all(len(e.counted) == len(e.sequence) for e in found)
