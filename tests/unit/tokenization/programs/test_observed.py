"""Programs about observations: whatever is looked at and whatever is drawn, it is a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from observed_models import IMAGE, PATTERN, network, observed, pictures, tokenizer

from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.scenes import SceneMaker
from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.generation.uncertainty import intervals
from sciar.heads.base import SamplerSettings
from sciar.objectives.next_token import NextTokenObjective, select
from sciar.objectives.sources import answering
from sciar.records import Call, PowderPattern, Program, Record
from sciar.testing.tokenizers import TokenizerTests
from sciar.tokenization.packing import pack
from sciar.tokenization.programs.frames import ImageFrame, PatternFrame, frame_of
from sciar.tokenization.programs.language import SHIPPED
from sciar.tokenization.programs.observed import Observed
from sciar.tokenization.programs.spans import spans_of
from sciar.tokenization.programs.text import read_program, write_program

DOTS = DotMaker(size=16, radius=2.0, cells=3, dots=(1, 3))
SCENES = SceneMaker(height=16, width=16, samples=1, counts=(1, 2))


class TestContract(TokenizerTests):
    """As of every tokenizer."""

    def make_tokenizer(self) -> Any:
        return tokenizer("dots", shuffle=True)

    def make_structures(self) -> Sequence[Any]:
        return [observed(p) for p in pictures(DOTS, "train", 4)]

    def make_inexpressible(self) -> Any:
        far = Program((Call("add", {"x": (2.0,), "y": (0.0,)}),))
        return Observed(far, np.zeros((16, 16, 3), np.uint8))

    def assert_same(self, actual: Any, expected: Any) -> None:
        places = [sorted((c.arguments["x"], c.arguments["y"]) for c in p.calls)
                  for p in (actual, expected.program)]  # fmt: skip
        np.testing.assert_allclose(*places, atol=1e-5)

    def test_it_says_what_it_makes_and_takes(self) -> None:
        made = self.make_tokenizer()
        assert made.makes == ("programs",) and made.conditions == ("image", "n_add")
        for structure in self.make_structures():
            wanted = made.conditions_of(Record("one", structure))
            assert list(wanted) == ["image"]
            made.request(wanted)
        with pytest.raises(RecordError, match="no image"):
            made.conditions_of(Record("one", Program(())))  # type: ignore[arg-type]

    def test_statistics_are_those_of_the_programs(self) -> None:
        made = self.make_tokenizer()
        structures = [observed(p) for p in pictures(DOTS, "uniform", 50)]
        made.fit_statistics(structures)
        kinds = {slot.name: slot for slot in made.vocabulary.slots}
        x = [c.arguments["x"][0] for s in structures for c in s.program.calls]
        assert kinds["<add.x>"].mean == pytest.approx((np.mean(x),), abs=1e-5)
        assert kinds["<add.x>"].std == pytest.approx((np.std(x),), abs=1e-5)
        assert set(kinds["<image>"].std) == {1.0}


def test_patches_come_first_and_carry_no_loss() -> None:
    made = tokenizer("dots")
    picture = pictures(DOTS, "train", 1)[0]
    sequence = made.encode(observed(picture))
    assert sequence.context == 18  # begin, 16 patches, and what opens the program
    assert not sequence.weights[:18].any() and sequence.weights[18:].all()
    whole = sequence.values[1:17, :48].reshape(4, 4, 4, 4, 3).transpose(0, 2, 1, 3, 4)
    np.testing.assert_allclose(whole.reshape(16, 16, 3) * 255, picture.image, atol=1e-3)
    assert made.atoms_of(observed(picture), sequence)[:18] == [None] * 18
    assert len(sequence) <= made.longest


@pytest.mark.parametrize("numbers", ["float", "char"])
@pytest.mark.parametrize("name", SHIPPED)
def test_an_untrained_model_writes_programs(name: str, numbers: str) -> None:
    """Through the real engine, in any batch, from images and from patterns."""
    made = tokenizer(name, PATTERN if name in ("cell", "crystal") else IMAGE, numbers=numbers)
    model = network(made)
    rng = np.random.default_rng(0)
    seen: list[Any] = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    if made.frame.name == "pxrd":
        peaks = np.sort(rng.uniform(10, 80, (3, 8)))
        seen = [PowderPattern("p", p, rng.random(8) + 0.1, None, peaks=True) for p in peaks]
    requests = [made.request({made.frame.name: one}, str(i)) for i, one in enumerate(seen)]
    jobs = [Job(requests[i % 3], i) for i in range(5)]
    settings = GenerationSettings(batch_size=4, max_tokens=1 << 20)
    drawn = sorted(Engine(model, made, settings).run(jobs), key=lambda d: d.job.index)
    for d in drawn:
        assert not d.failure
        text = write_program(made.decode(d.sequence), made.language)
        assert write_program(read_program(text, made.language), made.language) == text
    alone = Engine(model, made, GenerationSettings(batch_size=1, max_tokens=1 << 20))
    (again,) = alone.run([jobs[4]])
    np.testing.assert_array_equal(again.sequence.ids, drawn[4].sequence.ids)
    np.testing.assert_allclose(again.sequence.values, drawn[4].sequence.values, atol=1e-3)


def test_numbers_of_the_engine_are_those_of_one_pass() -> None:
    """Values that are decoded one by one equal those read off the finished sequence (spec 7)."""
    made = tokenizer("clevr")
    model = network(made)
    seen = [observed(p) for p in pictures(SCENES, "train-a", 2)]
    requests = [made.request({"image": s.data}) for s in seen]
    cold = GenerationSettings(temperature=0.0, payload=SamplerSettings(temperature=0.0))
    drawn = list(Engine(model, made, cold).run([Job(r, i) for i, r in enumerate(requests)]))
    assert sum(int((d.sequence.kinds > 0).sum()) - 16 for d in drawn) > 3
    for d in drawn:
        batch = pack([d.sequence])
        with torch.no_grad():
            hidden, inputs = model(batch)
        source = answering(model, batch)
        for kind in range(1, len(made.vocabulary.slots)):
            at = (batch.kinds == kind).nonzero().squeeze(1)
            if len(at):
                after = select(inputs.next, source[at])
                keys = torch.zeros(len(at), dtype=torch.long)
                value = model.sample_payload(kind, hidden[source[at]], after, keys, cold.payload)
                torch.testing.assert_close(
                    value, batch.values[at][:, : value.shape[1]], atol=1e-5, rtol=1e-4
                )


def test_only_numbers_train_their_heads() -> None:
    """The loss of a word moves no head of numbers, and a patch has no loss at all."""
    made = tokenizer("dots")
    model = network(made)
    batch = pack([made.encode(observed(p)) for p in pictures(DOTS, "train", 2)])
    losses = NextTokenObjective().losses(model, batch, 0)
    assert float(losses["<image>"][1]) == 0
    losses["word"][0].backward(retain_graph=True)
    heads = list(model.heads.parameters())
    assert all(p.grad is None or not p.grad.any() for p in heads)
    losses["<add.x>"][0].backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in heads)


def test_the_image_decides() -> None:
    """States of the program hang on the image, on every patch of it."""
    made = tokenizer("dots")
    model = network(made)
    first = observed(pictures(DOTS, "train", 1)[0])
    other = first.data.copy()
    other[13, 14] = 255 - other[13, 14]
    with torch.no_grad():
        a, b = (
            model(pack([made.encode(Observed(first.program, data))]))[0]
            for data in (first.data, other)
        )
    assert ((a - b).abs().amax(-1) > 1e-7).all()


def test_intervals_lie_around_the_numbers() -> None:
    made = tokenizer("clevr")
    model = network(made)
    sequences = [made.encode(observed(p)) for p in pictures(SCENES, "train-a", 3)]
    wide, narrow = (intervals(model, sequences, level) for level in (0.9, 0.5))
    for sequence, outer, inner in zip(sequences, wide, narrow, strict=True):
        number = (sequence.kinds > 0) & (sequence.weights > 0)
        assert (np.isfinite(outer).all(1) == number).all()
        assert (outer[number, 0] <= inner[number, 0]).all()
        assert (inner[number, 1] <= outer[number, 1]).all()
        spans = spans_of(made, sequence, outer)
        program = made.decode(sequence)
        assert len(spans) == len(program)
        for call, own in zip(program.calls, spans, strict=True):
            argument = made.language.calls[call.name].arguments
            assert set(own) == {k for k, v in call.arguments.items() if isinstance(v, tuple)}
            for key, ends in own.items():
                assert len(ends) == len(argument[key].components)
                for low, high in ends:
                    assert low <= high
                    if argument[key].map.kind != "torus":
                        assert argument[key].map.low <= low and high <= argument[key].map.high


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros((16, 16, 3), np.uint8), "same value, 0, everywhere"),
        (np.eye(16, dtype=np.uint8), "gray; this model reads RGB"),
        (np.zeros((16, 16, 4), np.uint8), "RGB with alpha; this model reads RGB"),
        (np.zeros((8, 16, 3), np.uint8), r"8 x 16 pixels; this model reads 16 x 16"),
        (np.arange(768).reshape(16, 16, 3).astype(np.uint16), "16 bits"),
        (np.full((16, 16, 3), np.nan), "NaN"),
        (np.arange(768).reshape(16, 16, 3) / 768, "numbers of real"),
        (np.array(["a"]), "no image"),
    ],
)
def test_images_that_are_refused(given: np.ndarray, reason: str) -> None:
    with pytest.raises(RecordError, match=reason) as caught:
        tokenizer("dots").request({"image": given})
    assert caught.value.field == "image"


def test_micrographs_of_any_depth_have_the_same_bytes() -> None:
    frame = ImageFrame([4, 4], channels=1, patch=2, scale="range")
    data = np.random.default_rng(0).random((4, 4))
    deep = np.rint(1000 + 60000 * data).astype(np.uint16)
    first, second = frame.read(data), frame.read(deep)
    assert first.dtype == np.uint8 and first.min() == 0 and first.max() == 255
    assert np.abs(first.astype(int) - second.astype(int)).max() <= 1


def test_patterns_of_other_radiation_are_converted() -> None:
    frame = PatternFrame({"points": 256, "start": 10.0, "stop": 90.0}, patch=16)
    angles = np.array([30.0, 45.0, 60.0])
    copper = PowderPattern("a", angles, np.ones(3), peaks=True)
    sine = np.sin(np.radians(angles / 2)) * 0.7107 / frame.grid.wavelength
    molybdenum = PowderPattern("b", 2 * np.degrees(np.arcsin(sine)), np.ones(3), 0.7107, peaks=True)
    np.testing.assert_allclose(frame.read(copper), frame.read(molybdenum), atol=1e-6)
    with pytest.raises(RecordError, match="not a list"):
        frame.read([1, 2])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "sound"}, "not 'sound'"),
        ({"kind": "image", "hue": 1}, "other options"),
        ({"kind": "image", "patch": 5}, "do not divide 64 x 64"),
        ({"kind": "image", "channels": 2}, "2 channels"),
        ({"kind": "image", "scale": "deep"}, "scale 'deep'"),
        ({"kind": "pattern", "patch": 5}, "do not divide"),
        ({"kind": "pattern", "grid": {"hue": 1}}, "other options"),
    ],
)
def test_frames_that_are_none(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        frame_of(options)


def test_requests_that_are_refused() -> None:
    made = tokenizer("dots")
    with pytest.raises(UsageError, match="give image"):
        made.request({})
    with pytest.raises(RecordError, match="unreadable"):
        made.request({"image": RecordError("unreadable")})
    with pytest.raises(RecordError, match="learns from programs with their image"):
        made.encode(Program(()))
