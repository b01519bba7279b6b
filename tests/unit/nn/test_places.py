"""Tokens with places: rotary positions in space, and what is announced ahead of time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from octrees import octree_model, octree_tokenizer, random_molecules
from placed_crystals import placed_tokenizer
from tiny_models import crystal_tokenizer, encoded, random_crystals, tiny_config, tiny_model
from torch import Tensor

from sciar.datasets.tokens import cached
from sciar.errors import UsageError
from sciar.generation.cache import KVCache, StepMemory, StepPlan
from sciar.generation.store import RowStore
from sciar.model import AutoregressiveModel
from sciar.nn.decoder import DecoderConfig
from sciar.nn.inputs import inputs_at
from sciar.records import Record
from sciar.testing.tokenizers import assert_equal_sequences
from sciar.tokenization.octree_grid import random_rotation
from sciar.tokenization.packing import Pack, pack

VARIANTS = {"here": {}, "ahead": {"ahead": True}}


def model_of(variant: str) -> AutoregressiveModel:
    config = tiny_config(axes=3, unit=0.5, **VARIANTS[variant])
    return tiny_model(placed_tokenizer(), config)


def batch_of(count: int) -> Pack:
    crystals = [c for c in random_crystals(4 * count) if len(c) >= 3]
    return encoded(placed_tokenizer(), crystals[:count])


def states(model: AutoregressiveModel, batch: Pack) -> Tensor:
    with torch.no_grad():
        return model(batch)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pack_equals_its_sequences_one_by_one(variant: str) -> None:
    model, tokenizer = model_of(variant), placed_tokenizer()
    sequences = [tokenizer.encode(c) for c in random_crystals(5)]
    together = states(model, pack(sequences)).split([len(s) for s in sequences])
    for sequence, state in zip(sequences, together, strict=True):
        alone = states(model, pack([sequence]))
        torch.testing.assert_close(alone, state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_vectors_between_places_matter(variant: str) -> None:
    model, batch = model_of(variant), batch_of(2)
    shift = torch.tensor([1.0, -2.0, 0.5])
    moved = replace(batch, positions=batch.positions + shift, places=batch.places + shift)
    before = states(model, batch)
    torch.testing.assert_close(states(model, moved), before, atol=1e-4, rtol=1e-4)
    turned = replace(batch, positions=-batch.positions, places=-batch.places)
    assert (states(model, turned) - before).abs().max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_seen_before_its_time(variant: str) -> None:
    """Content and exact position from their own index on; label, anchor and place one earlier."""
    model, batch = model_of(variant), batch_of(1)
    before = states(model, batch)
    for p in range(int(batch.contexts[0]) + 1, len(batch)):
        for name, first in (("ids", p), ("positions", p), ("labels", p - 1), ("anchors", p - 1)):
            changed = getattr(batch, name).clone()
            changed[p] = (changed[p] + 1) % len(model.vocabulary)
            change = (states(model, replace(batch, **{name: changed})) - before).abs().amax(1)
            assert change[:first].max() == 0, f"{name} of {p} is seen too early"
            if name != "positions":
                assert change[first] > 1e-6, f"{name} of {p} is not seen"
        places = batch.places.clone()
        places[p] += 1.0
        change = (states(model, replace(batch, places=places)) - before).abs().amax(1)
        assert change[: p - 1].max() == 0
        assert (change[p - 1] > 1e-6) == (variant == "ahead")


@pytest.mark.parametrize("variant", VARIANTS)
def test_feeding_one_by_one_equals_the_packed_pass(variant: str) -> None:
    model, batch = model_of(variant), batch_of(1)
    expected = states(model, batch)
    decoder = model.config.decoder
    cache = KVCache.empty(decoder.layers, 1, decoder.heads, len(batch), 8, torch.zeros(()))
    for p in range(len(batch)):
        at = torch.tensor([p])
        plan = StepPlan([p], [1], at.device)
        memories = [StepMemory(cache, i, plan) for i in range(decoder.layers)]
        inputs = inputs_at(batch, at, at + 1 < len(batch))
        with torch.no_grad():
            found = model.decode(inputs, at, memories)
        torch.testing.assert_close(found, expected[at], atol=1e-4, rtol=1e-4)


def test_offsets_in_local_frames_look_the_same_however_all_is_turned() -> None:
    """Targets and surroundings of offsets that have two exact neighbours hang on no direction."""
    tokenizer = octree_tokenizer(context="before", offsets="local")
    model = octree_model(tokenizer, "one-stream")
    batch = pack([tokenizer.encode(m) for m in random_molecules(6, most=7)])
    turn = torch.from_numpy(random_rotation(np.random.default_rng(1))).float()
    turned = replace(
        batch,
        values=torch.where((batch.kinds > 0)[:, None], batch.values[:, :3] @ turn.T, 0.0),
        positions=(batch.positions.float() @ turn.T).to(batch.positions.dtype),
        places=(batch.places.float() @ turn.T).to(batch.places.dtype),
    )
    at = (batch.kinds > 0).nonzero().squeeze(1)
    every = torch.ones(len(at), dtype=torch.bool)
    seen = [model.inputs_at(b, at - 1, every).next for b in (batch, turned)]
    target = [model.target(1, b.values[at], s) for b, s in zip((batch, turned), seen, strict=True)]
    exact = (seen[0].valid & (batch.kinds[batch.references[at].clamp_min(0)] > 0)).sum(1)
    fixed = exact >= 2
    assert 5 < fixed.sum() < len(at)
    torch.testing.assert_close(target[0][fixed], target[1][fixed], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen[0].points[fixed], seen[1].points[fixed], atol=1e-4, rtol=1e-4)
    assert (target[0] - target[1])[exact == 0].abs().max() > 0.01
    for own, b, s in zip(target, (batch, turned), seen, strict=True):
        torch.testing.assert_close(model.payload(1, own, s), b.values[at, :3])


def test_words_without_places_announce_nothing() -> None:
    """As ever: with an index for a place, the label of a word may tell what it is."""
    tokenizer = crystal_tokenizer("denovo")
    batch = encoded(tokenizer, random_crystals(3))
    has_next = torch.ones(len(batch), dtype=torch.bool)
    has_next[batch.lengths.cumsum(0) - 1] = False
    after = inputs_at(batch, torch.arange(len(batch)), has_next).next
    word = torch.roll(batch.kinds, -1) == 0
    assert (after.label[word] == -1).all() and (after.anchor[word] == -1).all()


def test_the_decoder_and_the_layout_must_agree() -> None:
    tokenizer = crystal_tokenizer()
    model = tiny_model(tokenizer, tiny_config(axes=3))
    with pytest.raises(UsageError, match="3 rotary axes, but the layout of the tokens has 0"):
        model(encoded(tokenizer, random_crystals(1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": 5}, "5 rotary axes do not fit heads of width 8"),
        ({"axes": 3, "unit": 0.0}, "unit 0.0 must be above zero"),
        ({"ahead": True}, "need rotary axes"),
    ],
)
def test_impossible_axes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DecoderConfig(hidden=32, heads=4, **options)


@pytest.mark.parametrize("copies", [1, 2])
def test_token_caches_keep_places(tmp_path: Path, copies: int) -> None:
    tokenizer = placed_tokenizer()
    records = [Record(f"r{i}", c) for i, c in enumerate(random_crystals(6))]
    in_memory = cached(records, tokenizer, None, copies=copies)
    on_disk = cached(records, tokenizer, tmp_path, copies=copies)
    for i in range(6):
        assert on_disk.sequence(i).places.shape[1] == 3
        assert_equal_sequences(in_memory.sequence(i), on_disk.sequence(i))
    packed = on_disk.pack(np.array([4, 1]))
    expected = pack([on_disk.sequence(4), on_disk.sequence(1)])
    assert torch.equal(packed.positions, expected.positions)
    assert torch.equal(packed.places, expected.places)


def test_rows_of_the_engine_keep_places() -> None:
    """Written, grown, and moved, a row is the pack of its sequence."""
    tokenizer = placed_tokenizer("csp")
    sequences = [tokenizer.encode(c) for c in random_crystals(2)]
    longest = max(len(s) for s in sequences)
    store = RowStore(2, longest, tokenizer.vocabulary.width, 0, torch.device("cpu"), axes=3)
    cursors = []
    for sequence in sequences:
        plain = crystal_tokenizer()
        cursor = plain.cursor(plain.request({"composition": "Na Cl"}))
        writer = cursor.writer
        for name in ("ids", "kinds", "labels", "anchors"):
            setattr(writer, name, getattr(sequence, name).tolist())
        writer.values = [sequence.values]
        writer.positions = list(map(tuple, sequence.positions.tolist()))
        writer.places = list(map(tuple, sequence.places.tolist()))
        cursors.append(cursor)
    store.append([0, 1], cursors, [0, 0])
    grown = store.grown(longest + 5)
    grown.move(torch.tensor([1]), torch.tensor([0]))
    second = sequences[1]
    for name in ("positions", "places", "ids", "labels"):
        expected = torch.from_numpy(getattr(second, name))
        for row in (0, 1):
            start = row * grown.length
            found = getattr(grown, name)[start : start + len(second)]
            assert torch.equal(found, expected.to(found.dtype))
