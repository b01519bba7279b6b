"""Programs as tokens: whatever is drawn is a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import programs

from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.records import Call, Program
from sciar.testing.tokenizers import TokenizerTests
from sciar.tokenization.cursor import Choice, End, SlotQuery
from sciar.tokenization.packing import pack
from sciar.tokenization.programs.language import SHIPPED, load_language
from sciar.tokenization.programs.text import read_program, write_program
from sciar.tokenization.programs.tokenizer import ProgramTokenizer
from sciar.tokenization.sequence import TokenSequence

CLEVR = load_language("clevr")
SCENE = read_program(
    "add(size='small', color='blue', material='metal', shape='cube', loc=(1, -2.3, 0.35), "
    "rotation=0.1)\nadd(size='large', color='red', material='rubber', shape='sphere', "
    "loc=(-1, 2, 0.7))",
    CLEVR,
)


def close(actual: Program, expected: Program, tolerance: float = 1e-5) -> None:
    assert [c.name for c in actual.calls] == [c.name for c in expected.calls]
    for a, b in zip(actual.calls, expected.calls, strict=True):
        assert list(a.arguments) == list(b.arguments)
        for key, value in b.arguments.items():
            if isinstance(value, tuple):
                assert a.arguments[key] == pytest.approx(value, abs=tolerance)
            else:
                assert a.arguments[key] == value


class Contract(TokenizerTests):
    numbers = "float"

    def make_tokenizer(self) -> ProgramTokenizer:
        return ProgramTokenizer("clevr", self.numbers, shuffle=True, synonyms=True)

    def make_structures(self) -> Sequence[Any]:
        return [Program(()), Program(SCENE.calls[:1]), SCENE]

    def make_inexpressible(self) -> Any:
        return Program((Call("add", {**SCENE.calls[0].arguments, "color": "pink"}),))

    def assert_same(self, actual: Any, expected: Any) -> None:
        close(actual, CLEVR.check(expected, "canonical"))


class TestFloat(Contract):
    """Numbers as slots."""


class TestChar(Contract):
    """Numbers as digits."""

    numbers = "char"


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_decoding_inverts_encoding(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(SHIPPED))
    numbers = data.draw(st.sampled_from(("float", "char")))
    tokenizer = ProgramTokenizer(name, numbers, order="file", shuffle=True, synonyms=True)
    program = data.draw(programs(tokenizer.language))
    augment = data.draw(st.sampled_from((None, np.random.default_rng(0))))
    decoded = tokenizer.decode(tokenizer.encode(program, augment=augment))
    if numbers == "char":
        assert decoded == program
    else:
        # single precision of payloads, over ranges of up to thousands, and a logit's edge
        for a, b in zip(decoded.calls, program.calls, strict=True):
            for key, value in b.arguments.items():
                argument = tokenizer.language.calls[a.name].arguments[key]
                if isinstance(value, tuple):
                    gap = np.abs(np.subtract(a.arguments[key], value))
                    span = argument.map.high - argument.map.low
                    if argument.map.kind == "torus":
                        gap = np.minimum(gap, span - gap)
                    assert (gap <= 2e-4 * span).all()
                else:
                    assert a.arguments[key] == value


def walk(tokenizer: ProgramTokenizer, seed: int, **wanted: Any) -> Program:
    """A program whose every choice is random, and whose payloads are wild."""
    rng = np.random.default_rng(seed)
    cursor = tokenizer.cursor(tokenizer.request(wanted))
    while not isinstance(expected := cursor.expect(), End):
        if isinstance(expected, Choice):
            cursor.push_token(int(rng.choice(np.flatnonzero(expected.mask))))
        else:
            assert isinstance(expected, SlotQuery)
            width = tokenizer.vocabulary.slots[expected.kind - 1].width
            cursor.push_value(rng.normal(size=width) * 10.0 ** rng.integers(-3, 4))
    assert not expected.failure
    sequence = cursor.sequence()
    decoded = tokenizer.decode(sequence)
    assert decoded == tokenizer.structure(cursor.fields)
    return decoded


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SHIPPED), st.sampled_from(("float", "char")), st.integers(0, 10**6))
def test_every_walk_is_a_program(name: str, numbers: str, seed: int) -> None:
    tokenizer = ProgramTokenizer(name, numbers, max_calls=6)
    program = walk(tokenizer, seed)
    text = write_program(program, tokenizer.language)
    again = read_program(text, tokenizer.language)
    assert write_program(again, tokenizer.language) == text
    assert len(again) <= 6


def test_a_request_fixes_the_number_of_calls() -> None:
    tokenizer = ProgramTokenizer("clevr", max_calls=7)
    for seed in range(5):
        assert len(walk(tokenizer, seed, n_add=3)) == 3
    for wanted, error, reason in (
        ({"n_add": 11}, RecordError, "11 calls of add"),
        ({"n_add": 8}, RecordError, "at most 7"),
        ({"n_sub": 1}, UsageError, "leave out n_sub"),
    ):
        with pytest.raises(error, match=reason):
            tokenizer.request(wanted)


def test_both_ways_of_numbers_have_the_same_text() -> None:
    texts = {
        write_program(t.decode(t.encode(SCENE)), CLEVR)
        for t in (ProgramTokenizer("clevr", "float"), ProgramTokenizer("clevr", "char"))
    }
    assert texts == {write_program(CLEVR.check(SCENE, "canonical"), CLEVR)}


def test_tokens_of_a_cube() -> None:
    tokenizer = ProgramTokenizer("clevr")
    sequence = tokenizer.encode(Program(SCENE.calls[:1]))
    names = [tokenizer.vocabulary.names[i] for i in sequence.ids]
    assert " ".join(names[2:-1]) == (
        "add( size= 'small' color= 'blue' material= 'metal' shape= 'cube' loc= <add.loc.x> "
        "<add.loc.y> <add.loc.z> rotation= <add.rotation> )"
    )
    assert len(names) - 3 == 16  # as the specification counts


def test_statistics_leave_periodic_slots_and_rotations_alone() -> None:
    tokenizer = ProgramTokenizer("clevr")
    tokenizer.fit_statistics([SCENE])
    kinds = {slot.name: slot for slot in tokenizer.vocabulary.slots}
    assert kinds["<add.loc.x>"].mean == (0.0,) and kinds["<add.loc.x>"].std == (1.0,)
    assert kinds["<add.loc.y>"].mean == pytest.approx((-0.15,))
    assert kinds["<add.rotation>"].geometry == "torus"
    pose = ProgramTokenizer("pose6d")
    turn = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)
    call = Call("add", {"shape": "assembly", "color": "red", "loc": (1, 1, 1), "rotation": turn})
    pose.fit_statistics([Program((call,))])
    assert pose.vocabulary.slots[-1].width == 6 and pose.vocabulary.slots[-1].std == (1.0,) * 6
    assert pose.decode(pose.encode(Program((call,)))) == Program((call,))


def test_anchors_lead_back_to_the_calls() -> None:
    tokenizer = ProgramTokenizer("clevr")
    assert tokenizer.atom_order(SCENE) == [1, 0]
    assert tokenizer.atom_order(Program((SCENE.calls[1],) * 2)) == [0, 1]
    about = tokenizer.atoms_of(SCENE, tokenizer.encode(SCENE))
    assert about[2] == 1 and about[-2] == 0 and about[0] is None


@pytest.mark.parametrize("numbers", ["float", "char"])
def test_an_untrained_model_writes_programs(numbers: str) -> None:
    """And the engine feeds it what training feeds it."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    tokenizer = ProgramTokenizer("clevr", numbers, max_calls=3)
    head = HeadConfig("sciar.heads.numeric.NumericHead", {"hidden": 8})
    torus = HeadConfig("sciar.heads.flow.FlowHead", {"hidden": 8, "depth": 1, "steps": 2})
    config = ModelConfig(
        decoder=DecoderConfig(layers=1, hidden=16, heads=2),
        heads={"default": head, "<add.rotation>": torus},
        max_anchors=4,
    )
    model = AutoregressiveModel(tokenizer.vocabulary, 0, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    jobs = [Job(tokenizer.request({}), i) for i in range(6)]
    engine = Engine(model, tokenizer, GenerationSettings(batch_size=4))
    drawn = sorted(engine.run(jobs), key=lambda d: d.job.index)
    assert not any(d.failure for d in drawn)
    for d in drawn:
        program = tokenizer.decode(d.sequence)
        text = write_program(program, tokenizer.language)
        assert write_program(read_program(text, tokenizer.language), tokenizer.language) == text
    longest = max(drawn, key=lambda d: len(d.sequence))
    single = Engine(model, tokenizer, GenerationSettings(batch_size=1))
    (alone,) = single.run([jobs[longest.job.index]])
    np.testing.assert_array_equal(alone.sequence.ids, longest.sequence.ids)
    np.testing.assert_allclose(alone.sequence.values, longest.sequence.values, atol=5e-4)
    assert alone.logp == pytest.approx(longest.logp, abs=1e-3)
    assert logp_in_one_pass(model, tokenizer, longest.sequence) == pytest.approx(
        longest.logp, abs=1e-3
    )


@torch.no_grad()
def logp_in_one_pass(
    model: AutoregressiveModel, tokenizer: ProgramTokenizer, sequence: TokenSequence
) -> float:
    """Of the words under the grammar, from states that see the numbers as training does."""
    logits = model.words(model(pack([sequence]))[0])
    cursor, total = tokenizer.cursor(tokenizer.request({})), 0.0
    while not isinstance(expected := cursor.expect(), End):
        at = cursor.known
        token = int(sequence.ids[at])
        if isinstance(expected, Choice):
            allowed = torch.from_numpy(expected.mask)
            total += float(logits[at - 1].masked_fill(~allowed, -torch.inf).log_softmax(-1)[token])
            cursor.push_token(token)
        else:
            width = tokenizer.vocabulary.slots[expected.kind - 1].width
            cursor.push_value(sequence.values[at, :width])
    return total


def test_what_follows_a_number_sees_its_value() -> None:
    """Two scenes that differ in one number: states differ from that slot on, and not before."""
    torch.manual_seed(0)
    tokenizer = ProgramTokenizer("clevr", order="file")
    config = ModelConfig(DecoderConfig(layers=1, hidden=16, heads=2), max_anchors=4)
    model = AutoregressiveModel(tokenizer.vocabulary, 0, config).eval()
    moved = Call("add", {**SCENE.calls[0].arguments, "loc": (1.5, -2.3, 0.35)})
    pair = [SCENE, Program((moved, SCENE.calls[1]))]
    with torch.no_grad():
        first, second = (model(pack([tokenizer.encode(p)]))[0] for p in pair)
    slot = int(np.flatnonzero(tokenizer.encode(SCENE).kinds)[0])
    differs = (first - second).abs().amax(-1) > 1e-6
    assert differs[slot:].all() and not differs[:slot].any()


def test_options_that_are_none() -> None:
    for options, reason in (
        ({"language": "nothing"}, "no language"),
        ({"language": "clevr", "numbers": "roman"}, "roman"),
        ({"language": "clevr", "order": "best"}, "best"),
    ):
        with pytest.raises(UsageError, match=reason):
            ProgramTokenizer(**options)
