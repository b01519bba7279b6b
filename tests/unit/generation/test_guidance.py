"""Guidance: its limits 0 and 1, its strength, and what must not change its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import random_crystals, tiny_config, tiny_model, train

from sciar.errors import UsageError
from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import Guide, GuidedHead, SamplerSettings
from sciar.heads.diffusion import DiffusionHead
from sciar.heads.flow import FlowHead
from sciar.model import AutoregressiveModel, HeadConfig
from sciar.nn.streams import sample_keys
from sciar.records import Record
from sciar.tokenization.conditional import ConditionalTokenizer
from sciar.tokenization.cursor import Request
from sciar.tokenization.packing import pack
from sciar.tokenization.vocabulary import SlotKind


def tokenizer() -> ConditionalTokenizer:
    base = {
        "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
        "init_args": {"max_atoms": 6, "cell": "as-given", "task": "denovo"},
    }
    made = ConditionalTokenizer(base, ["density", "volume_per_atom"])
    made.fit_statistics([made.subject(Record("a", c)) for c in random_crystals(20)])
    return made


@pytest.fixture(scope="module")
def made() -> tuple[AutoregressiveModel, ConditionalTokenizer]:
    """A network that a few steps have taught to look at the conditions.

    Its head is a flow: a diffusion that has learnt little divides by the faint signal it begins
    with, and so makes a difference in the last bit one that can be seen.
    """
    torch.set_num_threads(1)
    guided = tokenizer()
    model = tiny_model(guided, tiny_config(head_options={"steps": 6}))
    subjects = [guided.subject(Record("a", c)) for c in random_crystals(8)]
    batch = pack(
        [guided.encode(s, augment=np.random.default_rng((i, k)))
         for i, s in enumerate(subjects) for k in range(2)]
    )  # fmt: skip
    train(model, batch, 80)
    return model, guided


def run(
    model: AutoregressiveModel, guided: Any, wanted: Sequence[Request], **options: Any
) -> list[Drawn]:
    settings = GenerationSettings(**{"batch_size": 16, "seed": 3, **options})
    jobs = [Job(request, i) for i, request in enumerate(wanted)]
    return sorted(Engine(model, guided, settings).run(jobs), key=lambda d: d.job.index)


def bare(drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and numbers of the structure, without the conditions and what is before."""
    from_here = 1 + len(drawn.job.request.asked)
    return drawn.sequence.ids[from_here:], drawn.sequence.values[from_here:]


def assert_same(first: Sequence[Drawn], second: Sequence[Drawn], tolerance: float = 1e-3) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.sequence.ids, b.sequence.ids)
        np.testing.assert_allclose(a.sequence.values, b.sequence.values, atol=tolerance)
        assert a.logp == pytest.approx(b.logp, abs=1e-2)


def requests(guided: ConditionalTokenizer) -> list[Request]:
    low, high = (guided.request({"density": d}, "x") for d in (0.5, 9.0))
    both = guided.request({"density": 3.0, "volume_per_atom": 20.0}, "x")
    return [low, high, both, guided.request({}, "x"), low, high, both, high]


def test_scale_0_leaves_the_conditions_out(
    made: tuple[AutoregressiveModel, ConditionalTokenizer],
) -> None:
    model, guided = made
    told = run(model, guided, requests(guided), guidance=0.0)
    untold = run(model, guided, [guided.request({}, "x")] * 8)
    assert_same(told, untold)
    assert dict(told[0].job.request.asked) == {"density": 0.5}


def test_scale_1_is_the_model_as_it_is(
    made: tuple[AutoregressiveModel, ConditionalTokenizer],
) -> None:
    model, guided = made
    wanted = requests(guided)
    plain = run(model, guided, wanted)
    assert_same(run(model, guided, wanted, guidance=1.0), plain, tolerance=0.0)
    # The mixture itself tends to the same: nothing jumps where the short cut ends.
    assert_same(run(model, guided, wanted, guidance=1.0 + 1e-7), plain)


def test_the_mixture_at_nearly_0_is_the_model_untold(
    made: tuple[AutoregressiveModel, ConditionalTokenizer],
) -> None:
    """With the random numbers of the row that is told, so only the most likely words agree."""
    model, guided = made
    wanted = requests(guided)[:3]
    nearly = run(model, guided, wanted, guidance=1e-9, temperature=0.0)
    untold = run(model, guided, [guided.request({}, "x")], temperature=0.0)
    for drawn in nearly:
        count = int((bare(untold[0])[0] >= 0).sum())
        np.testing.assert_array_equal(bare(drawn)[0], bare(untold[0])[0])
        assert count == len(bare(drawn)[0])


def test_batches_do_not_change_guided_samples(
    made: tuple[AutoregressiveModel, ConditionalTokenizer],
) -> None:
    model, guided = made
    wanted = requests(guided)
    whole = run(model, guided, wanted, guidance=2.5)
    for size in (1, 3):
        assert_same(run(model, guided, wanted, guidance=2.5, batch_size=size), whole)
    # Requests without conditions are not touched by the guidance of others.
    plain = run(model, guided, wanted)
    np.testing.assert_array_equal(whole[3].sequence.ids, plain[3].sequence.ids)
    np.testing.assert_allclose(whole[3].sequence.values, plain[3].sequence.values, atol=1e-3)


def test_guidance_stresses_the_conditions(
    made: tuple[AutoregressiveModel, ConditionalTokenizer],
) -> None:
    model, guided = made
    request = guided.request({"density": 9.0}, "x")
    samples = [run(model, guided, [request] * 4, guidance=g) for g in (0.0, 1.0, 3.0)]
    found = [np.concatenate([bare(d)[1].ravel() for d in drawn]) for drawn in samples]
    assert len(found[0]) != len(found[2]) or np.abs(found[0] - found[2]).max() > 1e-2


@pytest.mark.parametrize("geometry", ["euclidean", "torus"])
@pytest.mark.parametrize("kind", [FlowHead, DiffusionHead])
@pytest.mark.parametrize("method", ["", "dpm"])
def test_fields_are_mixed(geometry: str, kind: type[GuidedHead], method: str) -> None:
    if kind is FlowHead and method:
        method = "euler"
    torch.manual_seed(0)
    head = kind(SlotKind("<x>", 3, geometry=geometry), 8, hidden=16, depth=1, steps=6)  # type: ignore[call-arg]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    told, untold = torch.randn(5, 8), torch.randn(5, 8)
    keys, settings = sample_keys(0, torch.arange(5)), SamplerSettings(method=method)

    def drawn(scale: float) -> torch.Tensor:
        return head.sample(told, keys, settings, Guide(untold, scale))

    torch.testing.assert_close(drawn(1.0), head.sample(told, keys, settings), atol=1e-3, rtol=1e-3)
    if kind is FlowHead:  # the variance of a diffusion stays that of the conditions
        torch.testing.assert_close(drawn(0.0), head.sample(untold, keys, settings))
    assert (drawn(2.0) - drawn(1.0)).abs().max() > 1e-3
    again = Guide(untold[2:4], 2.0)
    # Random weights stretch the last bit of a sum.
    close = {"atol": 1e-2, "rtol": 1e-2}
    part = head.sample(told[2:4], keys[2:4], settings, again)
    torch.testing.assert_close(part, drawn(2.0)[2:4], **close)


def test_a_head_without_a_field_is_refused_before_work() -> None:
    guided = tokenizer()
    config = tiny_config()
    config.heads["default"] = HeadConfig("sciar.heads.point.PointHead", {"hidden": 8})
    model = tiny_model(guided, config)
    Engine(model, guided, GenerationSettings(guidance=1.0))
    with pytest.raises(UsageError, match="PointHead cannot be guided"):
        Engine(model, guided, GenerationSettings(guidance=2.0))
    with pytest.raises(UsageError, match="guidance is a number"):
        GenerationSettings(guidance=float("nan"))
