"""The whole network on packs: who may see whom, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import crystal_tokenizer, encoded, random_crystals, tiny_config, tiny_model
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.attention import Rotary, rotary_angles
from sciar.nn.decoder import Decoder, DecoderConfig, packed_memories
from sciar.tokenization.packing import Pack, pack

VARIANTS = {
    "plain": {},
    "grouped": {"kv_heads": 2},
    "normed": {"kv_heads": 1, "qk_norm": True},
    "twice": {"passes": 2},
}


def states(model: AutoregressiveModel, batch: Pack) -> list[Tensor]:
    with torch.no_grad():
        hidden, _ = model(batch)
    return list(hidden.split(batch.lengths.tolist()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pack_equals_its_sequences_one_by_one(variant: str) -> None:
    tokenizer = crystal_tokenizer()
    model = tiny_model(tokenizer, tiny_config(**VARIANTS[variant]))
    crystals = random_crystals(7)
    together = states(model, encoded(tokenizer, crystals))
    for crystal, state in zip(crystals, together, strict=True):
        (alone,) = states(model, encoded(tokenizer, [crystal]))
        torch.testing.assert_close(alone, state, atol=1e-5, rtol=1e-5)


def test_the_order_of_a_batch_does_not_matter() -> None:
    tokenizer = crystal_tokenizer()
    model = tiny_model(tokenizer)
    crystals = random_crystals(6)
    order = [4, 0, 5, 2, 1, 3]
    first = states(model, encoded(tokenizer, crystals))
    second = states(model, encoded(tokenizer, [crystals[i] for i in order]))
    for place, i in enumerate(order):
        torch.testing.assert_close(second[place], first[i], atol=1e-5, rtol=1e-5)


def context_and_batch() -> tuple[AutoregressiveModel, Pack, int, int]:
    tokenizer = crystal_tokenizer()
    batch = encoded(tokenizer, [c for c in random_crystals(20) if len(c) >= 4][:1])
    return tiny_model(tokenizer), batch, int(batch.contexts[0]), len(batch)


def test_the_prompt_is_read_in_both_directions() -> None:
    model, batch, context, _ = context_and_batch()
    before = states(model, batch)[0]
    ids = batch.ids.clone()
    ids[context - 2] = (ids[context - 2] + 1) % len(model.vocabulary)
    after = states(model, replace(batch, ids=ids))[0]
    assert (after - before)[: context - 2].abs().amax(1).min() > 1e-5


def test_nothing_generated_is_seen_before_its_time() -> None:
    """A payload changes the states from its own position on, never an earlier one."""
    model, batch, context, length = context_and_batch()
    before = states(model, batch)[0]
    for position in range(context, length):
        values = batch.values.clone()
        values[position] += 0.3
        after = states(model, replace(batch, values=values))[0]
        change = (after - before).abs().amax(1)
        assert change[:position].max() == 0
        if batch.kinds[position] > 0:
            assert change[position] > 1e-6


def test_without_context_words_are_causal_too() -> None:
    tokenizer = crystal_tokenizer("denovo")
    model = tiny_model(tokenizer)
    batch = encoded(tokenizer, [c for c in random_crystals(20) if len(c) >= 4][:1])
    before = states(model, batch)[0]
    for position in range(1, 1 + int((batch.kinds == 0).sum()) - 3):
        ids = batch.ids.clone()
        ids[position] = (ids[position] + 1) % len(model.vocabulary)
        change = (states(model, replace(batch, ids=ids))[0] - before).abs().amax(1)
        assert change[:position].max() == 0
        assert change[position] > 1e-6


def test_checkpointing_gives_the_same_gradients() -> None:
    tokenizer = crystal_tokenizer()
    batch = encoded(tokenizer, random_crystals(5))
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(tokenizer, tiny_config(checkpointing=checkpointing)).train()
        hidden, _ = model(batch)
        hidden.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_a_pack_keeps_identities_and_shifts_references() -> None:
    """References inside a pack are flat positions of the pack."""
    tokenizer = crystal_tokenizer()
    sequences = [tokenizer.encode(c) for c in random_crystals(3)]
    with_references = [
        replace(
            s,
            references=torch.arange(len(s)).sub(1)[:, None].numpy().astype("int16"),
            relations=torch.zeros(len(s), 1).numpy().astype("int8"),
        )
        for s in sequences
    ]
    batch = pack(with_references, keys=[7, 8, 9])
    assert batch.keys.tolist() == [7, 8, 9]
    starts = (batch.lengths.cumsum(0) - batch.lengths).tolist()
    expected = torch.arange(len(batch)) - 1
    expected[starts] = -1
    assert torch.equal(batch.references[:, 0], expected)


@pytest.mark.parametrize(
    "options",
    [{"hidden": 30, "heads": 4}, {"hidden": 12, "heads": 4}, {"heads": 4, "kv_heads": 3},
     {"pattern": "ax"}, {"pattern": ""}, {"dropout": 1.0}, {"dropout": -0.1}],
)  # fmt: skip
def test_impossible_sizes_are_refused(options: dict) -> None:
    with pytest.raises(UsageError):
        DecoderConfig(**options)


def test_positions_restart_in_every_sequence() -> None:
    """Two copies of one sequence in a pack have equal states."""
    tokenizer = crystal_tokenizer()
    crystal = random_crystals(3)[2]
    first, second = states(tiny_model(tokenizer), encoded(tokenizer, [crystal, crystal]))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-6)


def test_depth_and_width_are_as_configured() -> None:
    decoder = Decoder(DecoderConfig(layers=3, hidden=64, heads=4, kv_heads=2, ffn=96))
    assert len(decoder.layers) == 3
    shapes = {n: tuple(p.shape) for n, p in decoder.named_parameters()}
    assert shapes["layers.0.mixer.qkv.weight"] == (4 * 16 + 2 * 2 * 16, 64)
    assert shapes["layers.2.ffn.up.weight"] == (192, 64)
    assert DecoderConfig(hidden=256).ffn_width == 704


@pytest.mark.parametrize("pattern", ["a", "am"])
@pytest.mark.parametrize("whole", [True, False])
def test_states_that_are_read_are_those_of_all(pattern: str, whole: bool) -> None:
    """With prompts that are read in both directions the last layer computes no others."""
    tokenizer = crystal_tokenizer()
    model = tiny_model(tokenizer, tiny_config(pattern=pattern, qk_norm=True))
    batch = encoded(tokenizer, random_crystals(4))
    batch = replace(batch, contexts=batch.lengths) if whole else batch
    at = torch.tensor([1, 2, int(batch.lengths[0]), len(batch) - 1])
    with torch.no_grad():
        every, some = model(batch)[0], model(batch, read=at)[0]
    torch.testing.assert_close(some, every[at], atol=1e-5, rtol=1e-5)


def test_two_passes_are_the_stack_on_its_own_output() -> None:
    """By hand, layer after layer; the parameters are those of one pass."""
    torch.manual_seed(0)
    one, two = (Decoder(DecoderConfig(layers=2, passes=p, hidden=32, heads=4)) for p in (1, 2))
    two.load_state_dict(one.state_dict())
    lengths = torch.tensor([3, 5])
    x, index = torch.randn(8, 32), torch.tensor([0, 1, 2, 0, 1, 2, 3, 4])
    memories = packed_memories(two.config, lengths, torch.zeros(2, dtype=torch.int64))
    assert len(memories) == 4
    angles = rotary_angles(index, 8, two.config.base)
    by_hand = x
    for layer in [*one.layers, *one.layers]:
        by_hand = layer(by_hand, Rotary(angles, angles), memories[0])
    torch.testing.assert_close(two(x, index, memories), one.norm(by_hand))
    assert not torch.allclose(two(x, index, memories), one(x, index, memories[:2]))
    with pytest.raises(UsageError, match="0 passes"):
        DecoderConfig(passes=0)


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(0)
    plain, dropped = (
        Decoder(DecoderConfig(layers=2, dropout=p, hidden=32, heads=4)) for p in (0, 0.5)
    )
    dropped.load_state_dict(plain.state_dict())
    lengths = torch.tensor([3, 5])
    x, index = torch.randn(8, 32), torch.tensor([0, 1, 2, 0, 1, 2, 3, 4])
    memories = packed_memories(plain.config, lengths, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(plain.train()(x, index, memories), plain.eval()(x, index, memories))
    assert torch.equal(dropped.eval()(x, index, memories), plain(x, index, memories))
    dropped.train()
    first = dropped(x, index, memories)
    assert not torch.allclose(first, dropped(x, index, memories))
