"""Sampling tokens that have places, in one stream or asked: equal to the teacher-forced pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from octrees import LABELS, STREAMS, octree_config, octree_model, octree_tokenizer, random_molecules
from tiny_models import random_crystals, tiny_model

from sciar.errors import UsageError
from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.model import AutoregressiveModel
from sciar.nn.mamba import MambaConfig
from sciar.nn.questions import feed
from sciar.nn.streams import derive, sample_keys, uniform
from sciar.objectives.masked_next_token import MaskedNextTokenObjective
from sciar.objectives.next_token import select
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Choice, End, Request
from sciar.tokenization.octree_compat import TwoTreeTokenizer
from sciar.tokenization.octree_crystal import OctreeCrystalTokenizer
from sciar.tokenization.octree_skeleton import OctreeSkeletonTokenizer
from sciar.tokenization.octree_tokenizer import OctreeTokenizer
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence

WISHES = ({}, {"composition": "C2 H4 O"}, {"atoms": 5}, {"elements": ["C", "O"], "max_atoms": 4})
FIVE = SamplerSettings(steps=4)


def run(
    model: AutoregressiveModel, tokenizer: LayoutTokenizer, count: int, **options: Any
) -> list[Drawn]:
    """Finished sequences by index; every fourth asks for the same."""
    wanted = [tokenizer.request(w) for w in WISHES]
    settings = GenerationSettings(**{"seed": 3, "payload": FIVE, **options})
    jobs = [Job(wanted[i % 4], i) for i in range(count)]
    return sorted(Engine(model, tokenizer, settings).run(jobs), key=lambda d: d.job.index)


def by_recomputation(
    model: AutoregressiveModel, tokenizer: LayoutTokenizer, request: Request, index: int
) -> tuple[TokenSequence, float]:
    """One sample without a cache: the whole sequence goes through the network at every step."""
    cursor, logp = tokenizer.cursor(request), 0.0
    with torch.no_grad():
        while not isinstance(expected := cursor.expect(), End):
            known = cursor.known
            batch = pack([cursor.writer.finish(cursor.context)])
            hidden, inputs = model(batch)
            source = feed(batch, model.config.questions).source[known : known + 1]
            key = derive(derive(sample_keys(3, torch.tensor([index])), 0), torch.tensor([known]))
            if isinstance(expected, Choice):
                mask = torch.from_numpy(expected.mask)[None]
                token, value = model.words.sample(hidden[source], mask, uniform(key, 1)[:, 0])
                logp += float(value)
                cursor.push_token(int(token))
            else:
                near = select(inputs.next, source)
                payload = model.sample_payload(expected.kind, hidden[source], near, key, FIVE)
                cursor.push_value(payload[0].numpy())
    return cursor.sequence(), logp


@pytest.mark.parametrize("stream", ["one-stream", "questions"])
def test_samples_of_recurrent_layers_equal_full_recomputation(stream: str) -> None:
    """Mamba-2 layers see questions as any other token."""
    tokenizer = octree_tokenizer()
    mamba = MambaConfig(state=8, head=16, chunk=4)
    model = tiny_model(tokenizer, octree_config(stream, pattern="ma", mamba=mamba), shake=0.05)
    for drawn in run(model, tokenizer, 6, batch_size=3):
        expected, logp = by_recomputation(model, tokenizer, drawn.job.request, drawn.job.index)
        np.testing.assert_array_equal(drawn.sequence.ids, expected.ids)
        np.testing.assert_allclose(drawn.sequence.values, expected.values, atol=1e-4)
        assert drawn.logp == pytest.approx(logp, abs=1e-3)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("context", "offsets", "batch_size"),
    [
        ("none", "box", 1),
        ("none", "local", 3),
        ("above", "box", 3),
        ("before", "box", 1),
        ("before", "local", 3),
    ],
)
def test_samples_equal_full_recomputation(
    stream: str, context: str, offsets: str, batch_size: int
) -> None:
    tokenizer = octree_tokenizer(context=context, offsets=offsets)
    model = octree_model(tokenizer, stream)
    for drawn in run(model, tokenizer, 8, batch_size=batch_size):
        expected, logp = by_recomputation(model, tokenizer, drawn.job.request, drawn.job.index)
        assert not drawn.failure
        np.testing.assert_array_equal(drawn.sequence.ids, expected.ids)
        np.testing.assert_allclose(drawn.sequence.values, expected.values, atol=1e-4)
        np.testing.assert_allclose(drawn.sequence.positions, expected.positions, atol=1e-4)
        assert drawn.logp == pytest.approx(logp, abs=1e-4)


@pytest.mark.parametrize("stream", STREAMS)
def test_samples_with_attached_atoms_equal_full_recomputation(stream: str) -> None:
    """Words and slots that stand where atoms were placed before."""
    tokenizer = OctreeSkeletonTokenizer(
        labels=LABELS, levels=3, edge=0.96, max_atoms=10, context="before", offsets="local"
    )
    tokenizer.fit_statistics(random_molecules(20))
    config = replace(octree_config(stream), reference_rounds=1)
    model = tiny_model(tokenizer, config, shake=0.05)
    for drawn in run(model, tokenizer, 8, batch_size=3):
        expected, logp = by_recomputation(model, tokenizer, drawn.job.request, drawn.job.index)
        assert not drawn.failure
        np.testing.assert_array_equal(drawn.sequence.ids, expected.ids)
        np.testing.assert_allclose(drawn.sequence.values, expected.values, atol=1e-4)
        assert drawn.logp == pytest.approx(logp, abs=1e-4)


def crystals(kind: str) -> tuple[LayoutTokenizer, Request]:
    """A tokenizer of crystals of given composition, with statistics, and a request."""
    labels, some = ("Na", "O", "Cl"), random_crystals(30, most=4)
    made: OctreeTokenizer
    if kind == "cell":
        made = OctreeCrystalTokenizer("csp", 8, 2, "as-given", labels)
    else:
        made = TwoTreeTokenizer("csp", 8, levels=4, edge=0.72, labels=labels)
    made.fit_statistics([c for c in some if set(c.species) <= set(labels)])
    return made, made.request({"composition": "Na2 O Cl"})


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("layout", ["molecule", "cell", "two-trees"])
def test_states_equal_the_teacher_forced_pass(stream: str, layout: str) -> None:
    """State by state: what was stepped through, against one pass over the finished sequence.

    One tree, a tree in a cell, two trees; a formula that is drawn, and one that is given and read
    in both directions.
    """
    check_states(stream, layout)


@pytest.mark.parametrize("layout", ["molecule", "two-trees"])
def test_states_of_two_passes_equal_the_teacher_forced_pass(layout: str) -> None:
    """Likewise where the stack of layers is run twice (recycling): each pass has its own cache."""
    check_states("questions", layout, passes=2)


def check_states(stream: str, layout: str, passes: int = 1) -> None:
    """One sample, stepped through, against one pass over the whole."""
    if layout == "molecule":
        tokenizer: LayoutTokenizer = octree_tokenizer()
        request = tokenizer.request({})
    else:
        tokenizer, request = crystals(layout)
    model = tiny_model(tokenizer, octree_config(stream, passes=passes), shake=0.05)
    stepped: list[torch.Tensor] = []
    handle = model.decoder.register_forward_hook(lambda _, __, out: stepped.append(out.clone()))
    settings = GenerationSettings(seed=3, payload=FIVE)
    (drawn,) = Engine(model, tokenizer, settings).run([Job(request, 0)])
    handle.remove()
    with torch.no_grad():
        whole, _ = model(pack([drawn.sequence]))
    found = torch.cat(stepped)
    assert len(found) > 12
    torch.testing.assert_close(found, whole[: len(found)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stream", STREAMS)
def test_the_batch_size_does_not_change_the_samples(stream: str) -> None:
    tokenizer = octree_tokenizer()
    model = octree_model(tokenizer, stream)
    one = run(model, tokenizer, 12, batch_size=1)
    for a, b in zip(one, run(model, tokenizer, 12, batch_size=5), strict=True):
        np.testing.assert_array_equal(a.sequence.ids, b.sequence.ids)
        np.testing.assert_allclose(a.sequence.values, b.sequence.values, atol=1e-4)


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_asked_for_holds_in_every_sample(stream: str) -> None:
    tokenizer = octree_tokenizer()
    model = octree_model(tokenizer, stream)
    for drawn in run(model, tokenizer, 40, temperature=3.0):
        made = Counter(tokenizer.decode(drawn.sequence).symbols)
        kind = drawn.job.index % 4
        if kind == 1:
            assert made == {"C": 2, "H": 4, "O": 1}
        elif kind == 2:
            assert made.total() == 5
        elif kind == 3:
            assert set(made) == {"C", "O"} and made.total() <= 4
        assert made.total() <= 10


def test_private_questions_leave_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds the contents alone, so a row is as long as its sequence."""
    tokenizer = octree_tokenizer()
    longest: dict[str, int] = {}
    for stream in ("one-stream", "questions", "private-questions"):
        engine = Engine(octree_model(tokenizer, stream), tokenizer, GenerationSettings(seed=3))
        lengths: list[int] = []
        feed_rows = engine._feed

        def counted(
            feed_rows: Any = feed_rows, engine: Any = engine, lengths: Any = lengths
        ) -> None:
            feed_rows()
            lengths.append(max(row.length - row.fed for row in engine.rows))

        monkeypatch.setattr(engine, "_feed", counted)
        list(engine.run([Job(tokenizer.request({"composition": "C2 H4"}), 0)]))
        longest[stream] = max(lengths)
    assert longest["one-stream"] == longest["private-questions"] == 0
    assert longest["questions"] > 10


@pytest.mark.parametrize("context", ["none", "above"])
def test_words_drawn_at_once_are_those_of_the_blind_pass(context: str) -> None:
    """Scores of a level drawn in one pass, against a pass in which no question sees the level."""
    tokenizer = octree_tokenizer(context=context)
    model = octree_model(tokenizer, "private-questions")
    compared = 0
    for drawn in run(model, tokenizer, 40, at_once=True, batch_size=7):
        names = [tokenizer.vocabulary.names[i] for i in drawn.sequence.ids]
        if any(name.startswith("+") for name in names):
            continue  # points that share a cell are drawn one by one
        batch = pack([drawn.sequence])
        with torch.no_grad():
            hidden, _ = model(batch, blind=torch.tensor([True]))
            logits = model.words(hidden)
        source = feed(batch, True, True).source.tolist()
        cursor, total = tokenizer.cursor(drawn.job.request), 0.0
        while not isinstance(expected := cursor.expect(), End):
            at = cursor.known
            if isinstance(expected, Choice):
                allowed = torch.from_numpy(expected.mask)
                scores = logits[source[at]].masked_fill(~allowed, float("-inf"))
                total += float(scores.log_softmax(-1)[batch.ids[at]])
                cursor.push_token(int(batch.ids[at]))
            else:
                cursor.push_value(drawn.sequence.values[at, :3])
        assert drawn.logp == pytest.approx(total, abs=1e-3)
        compared += 1
    assert compared >= 3


def test_a_level_costs_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = octree_tokenizer()
    model = octree_model(tokenizer, "private-questions")
    passes: dict[bool, int] = {}
    for at_once in (False, True):
        count: list[int] = []
        handle = model.decoder.register_forward_hook(lambda *_, count=count: count.append(1))
        (drawn,) = run(model, tokenizer, 1, at_once=at_once)
        handle.remove()
        passes[at_once] = len(count)
        assert not drawn.failure
    assert passes[True] < passes[False]


def test_counts_hold_when_words_are_drawn_at_once() -> None:
    tokenizer = octree_tokenizer()
    model = octree_model(tokenizer, "private-questions")
    for drawn in run(model, tokenizer, 40, at_once=True, temperature=3.0):
        made = Counter(tokenizer.decode(drawn.sequence).symbols)
        if drawn.job.index % 4 == 1:
            assert made == {"C": 2, "H": 4, "O": 1}
        if drawn.job.index % 4 == 2:
            assert made.total() == 5


def test_only_private_questions_are_put_at_once() -> None:
    tokenizer = octree_tokenizer()
    with pytest.raises(UsageError, match="private questions"):
        Engine(octree_model(tokenizer, "questions"), tokenizer, GenerationSettings(at_once=True))
    objective = MaskedNextTokenObjective(at_once=0.5)
    batch = pack([tokenizer.encode(m) for m in random_molecules(3)])
    with pytest.raises(UsageError, match="must be private"):
        objective.losses(octree_model(tokenizer, "questions"), batch, 0)
    model = octree_model(tokenizer, "private-questions")
    losses = [
        MaskedNextTokenObjective(at_once=share).losses(model, batch, 0)["word"][0].detach()
        for share in (0.0, 1.0)
    ]
    assert abs(float(losses[0] - losses[1])) > 1e-4


def test_words_of_a_label_may_have_a_temperature_of_their_own() -> None:
    """Cold labels, hot nodes: the label that is most likely, whatever the random numbers."""
    tokenizer = octree_tokenizer()
    model = octree_model(tokenizer, "one-stream")
    hot = run(model, tokenizer, 8, temperature=2.0, temperatures={"<level-0>": 0.0})
    level = tokenizer.vocabulary.id("<level-0>")
    for drawn in hot:
        batch = pack([drawn.sequence])
        with torch.no_grad():
            logits = model.words(model(batch)[0])
        cursor = tokenizer.cursor(drawn.job.request)
        while not isinstance(expected := cursor.expect(), End):
            at = cursor.known
            if isinstance(expected, Choice):
                if drawn.sequence.labels[at] == level and drawn.sequence.kinds[at] == 0:
                    allowed = torch.from_numpy(expected.mask)
                    scores = logits[at - 1].masked_fill(~allowed, float("-inf"))
                    assert int(scores.argmax()) == drawn.sequence.ids[at]
                cursor.push_token(int(drawn.sequence.ids[at]))
            else:
                cursor.push_value(drawn.sequence.values[at, :3])
    plain = run(model, tokenizer, 8, temperature=2.0)
    same = run(model, tokenizer, 8, temperature=1.0, temperatures={"<level-0>": 2.0})
    ids = [[d.sequence.ids.tolist() for d in drawn] for drawn in (hot, plain, same)]
    assert ids[0] != ids[1] != ids[2]
    with pytest.raises(UsageError, match="no symbol 'Xx'"):
        run(model, tokenizer, 1, temperatures={"Xx": 0.5})
    with pytest.raises(UsageError, match="temperature must not be negative"):
        GenerationSettings(temperatures={"<level-0>": -1.0})
