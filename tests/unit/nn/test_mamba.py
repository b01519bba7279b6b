"""The Mamba-2 mixer and decoders that hold it: sizes, causality, packs, precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import ModelConfig
from sciar.nn.decoder import Decoder, DecoderConfig, packed_memories
from sciar.nn.mamba import Mamba2, MambaConfig, PackedStates
from sciar.nn.ragged import Ragged

SMALL = MambaConfig(state=8, head=16, chunk=4)


def decoder(pattern: str, layers: int = 3) -> Decoder:
    torch.manual_seed(0)
    config = DecoderConfig(layers=layers, hidden=32, heads=4, pattern=pattern, mamba=SMALL)
    return Decoder(config).double()


def states(network: Decoder, x: Tensor, lengths: list[int]) -> Tensor:
    counts = torch.tensor(lengths)
    memories = packed_memories(network.config, counts, torch.zeros_like(counts))
    positions = torch.cat([torch.arange(n) for n in lengths])
    with torch.no_grad():
        return network(x, positions, memories)


def tokens(count: int) -> Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(1)).double()


def test_the_parameters_are_as_many_as_the_specification_counts() -> None:
    """d (2 d_i + 2 N + H) + (k + 1)(d_i + 2 N) + 3 H + d_i + d_i d; 0.43 M at width 256."""
    count = sum(p.numel() for p in Mamba2(256, MambaConfig()).parameters())
    inner, state, heads, taps = 512, 64, 8, 4
    expected = 256 * (2 * inner + 2 * state + heads) + (taps + 1) * (inner + 2 * state)
    assert count == expected + 3 * heads + inner + inner * 256
    assert round(count / 1e6, 2) == 0.43


def test_the_time_steps_and_rates_begin_in_their_ranges() -> None:
    mixer = Mamba2(256, MambaConfig(head=8))
    time = torch.nn.functional.softplus(mixer.time_bias)
    assert time.min() > 1e-3 * 0.999 and time.max() < 0.1 * 1.001
    rate = mixer.log_rate.exp()
    assert rate.min() >= 1 and rate.max() <= 16.001


def test_the_pattern_is_repeated_over_the_layers() -> None:
    assert DecoderConfig(layers=6, pattern="mmma", mamba=SMALL).mixers == "mmmamm"
    kinds = [isinstance(layer.mixer, Mamba2) for layer in decoder("ma").layers]
    assert kinds == [True, False, True]


@pytest.mark.parametrize("pattern", ["m", "ma"])
def test_a_pack_equals_its_sequences_one_by_one(pattern: str) -> None:
    network, lengths = decoder(pattern), [5, 1, 9, 4]
    x = tokens(sum(lengths))
    together = states(network, x, lengths).split(lengths)
    for own, found in zip(x.split(lengths), together, strict=True):
        torch.testing.assert_close(states(network, own, [len(own)]), found, atol=1e-11, rtol=0)


@pytest.mark.parametrize("pattern", ["m", "ma"])
def test_nothing_is_seen_ahead(pattern: str) -> None:
    network, x = decoder(pattern), tokens(10)
    before = states(network, x, [10])
    for at in (0, 4, 9):
        other = x.clone()
        other[at] += 1.0
        change = (states(network, other, [10]) - before).abs().amax(1)
        assert change[:at].sum() == 0
        assert (change[at:] > 1e-9).all()


def test_checkpointing_gives_the_same_gradients() -> None:
    lengths = torch.tensor([5, 3])
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        config = DecoderConfig(
            layers=2, hidden=32, heads=4, pattern="ma", mamba=SMALL, checkpointing=checkpointing
        )
        network = Decoder(config).train()
        memories = packed_memories(config, lengths, torch.zeros_like(lengths))
        positions = torch.cat([torch.arange(5), torch.arange(3)])
        network(tokens(8).float(), positions, memories).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first is not None and first.abs().sum() > 0
        torch.testing.assert_close(first, second)


def test_the_state_stays_in_single_precision_when_the_weights_are_half() -> None:
    mixer = Mamba2(32, SMALL).half()
    kept = []

    class Memory(PackedStates):
        def save(self, state: object) -> None:
            kept.append(state)

    layout = Ragged.build(torch.tensor([6]), 4, 3)
    out = mixer(tokens(6).half(), Memory(layout))
    assert out.dtype == torch.float16
    assert kept[0].state.dtype == torch.float32


@pytest.mark.parametrize(
    "options", [{"head": 24}, {"head": 0}, {"state": 0}, {"taps": 1}, {"chunk": 0}]
)
def test_impossible_sizes_are_refused(options: dict) -> None:
    with pytest.raises(UsageError):
        DecoderConfig(hidden=32, heads=4, pattern="m", mamba=MambaConfig(**{"head": 16} | options))


def test_sizes_do_not_matter_without_such_layers() -> None:
    assert DecoderConfig(hidden=8, heads=2).mixers == "aaaaaa"


def test_private_questions_are_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot forget a question.*'am'"):
        ModelConfig(
            decoder=DecoderConfig(hidden=32, heads=4, pattern="am", mamba=SMALL),
            questions=True,
            private=True,
        )


def test_a_configuration_survives_being_written_down() -> None:
    config = ModelConfig(decoder=DecoderConfig(hidden=32, heads=4, pattern="mmma", mamba=SMALL))
    assert ModelConfig.from_dict(config.to_dict()) == config
    old = config.to_dict()
    del old["decoder"]["mamba"], old["decoder"]["pattern"]
    assert ModelConfig.from_dict(old).decoder.mamba == MambaConfig()
