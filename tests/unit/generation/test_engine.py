"""The engine against recomputation from scratch, and what must not change its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import crystal_tokenizer, random_crystals, tiny_config, tiny_model
from torch import Tensor

from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.model import AutoregressiveModel
from sciar.nn.mamba import MambaConfig
from sciar.nn.streams import derive, sample_keys, uniform
from sciar.objectives.next_token import select
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Choice, End, Request
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence

FORMULAS = ("Na Cl", "Sr Ti O3", "H2 O", "Ti2 O4", "O", "Na2 O", "H4 O2", "Sr2 Cl4")


def requests(tokenizer: LayoutTokenizer, count: int) -> list[Request]:
    """Prompts of different length; every eighth is the same object."""
    if tokenizer.config()["task"] == "denovo":
        made = [tokenizer.request({}), tokenizer.request({"elements": ["Na", "Cl"]})]
    else:
        made = [tokenizer.request({"composition": f}, id=f) for f in FORMULAS]
    return [made[i % len(made)] for i in range(count)]


def run(
    model: AutoregressiveModel,
    tokenizer: LayoutTokenizer,
    wanted: Sequence[Request],
    order: Sequence[int] | None = None,
    **options: Any,
) -> list[Drawn]:
    """Finished sequences by index."""
    settings = GenerationSettings(**{"batch_size": 16, "seed": 3, **options})
    order = range(len(wanted)) if order is None else order
    jobs = [Job(wanted[i], i) for i in order]
    drawn = list(Engine(model, tokenizer, settings).run(jobs))
    assert sorted(d.job.index for d in drawn) == sorted(order)
    return sorted(drawn, key=lambda d: d.job.index)


SAMPLED = 5e-4
"""Bound on payloads: the states agree to 1e-4 (tested below), and the flow of a network with random
weights stretches what is left of a difference."""


def assert_same(
    first: Sequence[Drawn], second: Sequence[Drawn], tolerance: float = SAMPLED
) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.job.index == b.job.index
        assert_same_sequence(a.sequence, b.sequence, tolerance)
        assert a.logp == pytest.approx(b.logp, abs=1e-3)


def assert_same_sequence(a: TokenSequence, b: TokenSequence, tolerance: float) -> None:
    np.testing.assert_array_equal(a.ids, b.ids)
    difference = np.abs(a.values - b.values)
    difference = np.where(a.kinds[:, None] == 2, np.minimum(difference, 1 - difference), difference)
    assert difference.max() < tolerance


def by_recomputation(
    model: AutoregressiveModel,
    tokenizer: LayoutTokenizer,
    request: Request,
    index: int,
    seed: int,
    sampler: SamplerSettings,
) -> tuple[TokenSequence, float]:
    """One sample without any cache: the whole sequence goes through the network at every step."""
    cursor = tokenizer.cursor(request)
    logp = 0.0
    with torch.no_grad():
        while not isinstance(expected := cursor.expect(), End):
            known = cursor.known
            written = cursor.writer.finish(cursor.context)
            # an open slot is written down but not yet known: it is announced, never read
            batch = pack([written])
            hidden, inputs = model(batch)
            at = torch.tensor([known - 1])
            key = derive(derive(sample_keys(seed, torch.tensor([index])), 0), torch.tensor([known]))
            if isinstance(expected, Choice):
                mask = torch.from_numpy(expected.mask)[None]
                token, value = model.words.sample(hidden[at], mask, uniform(key, 1)[:, 0])
                logp += float(value)
                cursor.push_token(int(token))
            else:
                near = select(inputs.next, at)
                payload = model.sample_payload(expected.kind, hidden[at], near, key, sampler)
                cursor.push_value(payload[0].numpy())
    return cursor.sequence(), logp


@pytest.mark.parametrize("task", ["csp", "denovo"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_samples_equal_full_recomputation(
    task: str, batch_size: int, request: pytest.FixtureRequest
) -> None:
    model, tokenizer = request.getfixturevalue(task)
    wanted = requests(tokenizer, 8)
    for drawn in run(model, tokenizer, wanted, batch_size=batch_size):
        expected, logp = by_recomputation(
            model, tokenizer, drawn.job.request, drawn.job.index, 3, SamplerSettings()
        )
        assert not drawn.failure
        assert_same_sequence(drawn.sequence, expected, SAMPLED)
        assert drawn.logp == pytest.approx(logp, abs=1e-4)


MAMBA = MambaConfig(state=8, head=16, chunk=4)


@pytest.mark.parametrize("pattern", ["m", "am"])
@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_samples_of_recurrent_layers_equal_full_recomputation(task: str, pattern: str) -> None:
    """More jobs than rows: states move when rows close up, and begin anew in every row.

    Weights are small, so that the flow does not stretch differences; a state that is left behind
    when its row moves shows in the third digit.
    """
    tokenizer = crystal_tokenizer(task)
    config = tiny_config(head_options={"steps": 4}, pattern=pattern, mamba=MAMBA)
    model = tiny_model(tokenizer, config, shake=0.05)
    wanted = requests(tokenizer, 8)
    for drawn in run(model, tokenizer, wanted, batch_size=3):
        expected, logp = by_recomputation(
            model, tokenizer, drawn.job.request, drawn.job.index, 3, SamplerSettings()
        )
        assert_same_sequence(drawn.sequence, expected, 1e-4)
        assert drawn.logp == pytest.approx(logp, abs=1e-3)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"kv_heads": 2},
        {"kv_heads": 1, "qk_norm": True},
        {"layers": 3, "pattern": "mam", "mamba": MAMBA},
    ],
)
@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_every_layer_state_equals_the_packed_pass(task: str, variant: dict[str, Any]) -> None:
    """Sequences fed step by step: states of all layers, and logits, against ``model(pack)``."""
    tokenizer = crystal_tokenizer(task)
    model = tiny_model(tokenizer, tiny_config(**variant))
    states: list[list[Tensor]] = [[] for _ in model.decoder.layers]
    for store, layer in zip(states, model.decoder.layers, strict=True):
        layer.register_forward_hook(lambda _, __, out, store=store: store.append(out.clone()))
    (drawn,) = run(model, tokenizer, requests(tokenizer, 2)[1:], order=[0])
    stepped = [torch.cat(store) for store in states]
    for store in states:
        store.clear()
    with torch.no_grad():
        hidden, _ = model(pack([drawn.sequence]))
    assert len(drawn.sequence) > 8
    for found, whole in zip(stepped, states, strict=True):
        fed = len(found)
        assert fed >= len(drawn.sequence) - 2  # what ends a sequence is never fed
        torch.testing.assert_close(found, whole[0][:fed], atol=1e-4, rtol=1e-4)
    logits = model.words(model.decoder.norm(stepped[-1]))
    torch.testing.assert_close(logits, model.words(hidden[: len(logits)]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", ["csp", "denovo"])
@pytest.mark.parametrize("batch_size", [7, 64])
def test_the_batch_size_does_not_change_the_samples(
    task: str, batch_size: int, request: pytest.FixtureRequest
) -> None:
    """More jobs than rows: rows of different length come and go."""
    model, tokenizer = request.getfixturevalue(task)
    wanted = requests(tokenizer, 30)
    one = run(model, tokenizer, wanted, batch_size=1)
    many = run(model, tokenizer, wanted, batch_size=batch_size)
    assert_same(one, many)
    for a, b in zip(one, many, strict=True):
        first, second = (tokenizer.decode(d.sequence) for d in (a, b))
        moved = first.frac - second.frac
        cartesian = (moved - np.rint(moved)) @ first.lattice
        assert np.linalg.norm(cartesian, axis=1).max() < 1e-3


def test_the_order_of_the_jobs_does_not_matter(denovo: Any) -> None:
    model, tokenizer = denovo
    wanted = requests(tokenizer, 12)
    order = np.random.default_rng(0).permutation(12).tolist()
    assert_same(run(model, tokenizer, wanted), run(model, tokenizer, wanted, order, batch_size=5))


def test_sharing_a_prefill_changes_nothing(csp: Any) -> None:
    """Six samples of one request object, or of six equal ones."""
    model, tokenizer = csp
    one = tokenizer.request({"composition": "Sr Ti O3"})
    shared = run(model, tokenizer, [one] * 6)
    separate = run(model, tokenizer, [replace(one) for _ in range(6)])
    assert_same(shared, separate)
    assert len({d.sequence.values.tobytes() for d in shared}) == 6


def test_prompts_of_one_request_are_computed_once(csp: Any, monkeypatch: Any) -> None:
    model, tokenizer = csp
    fed: list[int] = []
    decode = AutoregressiveModel.decode

    def counted(self: Any, inputs: Any, positions: Tensor, memories: Any) -> Tensor:
        fed.append(len(positions))
        return decode(self, inputs, positions, memories)

    monkeypatch.setattr(AutoregressiveModel, "decode", counted)
    one = tokenizer.request({"composition": "Na Cl"})
    run(model, tokenizer, [one] * 10)
    prompt = 4  # <bos> Na Cl <structure>
    # then, for ten rows: the lattice with the pinned first site; the second site ends it all
    assert fed == [prompt, 20]


def test_the_seed_changes_the_samples(denovo: Any) -> None:
    model, tokenizer = denovo
    wanted = requests(tokenizer, 6)
    first, second = (run(model, tokenizer, wanted, seed=s) for s in (1, 2))
    different = [
        a.sequence.values.tobytes() != b.sequence.values.tobytes()
        for a, b in zip(first, second, strict=True)
    ]
    assert all(different)


def test_forced_runs_are_fed_in_one_pass(denovo: Any) -> None:
    """After the last element: ``<structure>``; after the lattice: the pinned first site."""
    model, tokenizer = denovo
    for drawn in run(model, tokenizer, requests(tokenizer, 10)):
        fields = tokenizer.layout.split(tokenizer.vocabulary, drawn.sequence)
        n = len(fields["composition"].tokens)
        assert len(drawn.sequence) == 2 * n + 4
        assert not fields["sites"].values[0].any()


def test_a_row_costs_one_pass_for_each_thing_sampled(denovo: Any, monkeypatch: Any) -> None:
    """Forced tokens ride along, and the last thing sampled need not be fed at all."""
    model, tokenizer = denovo
    passes, sampled = 0, 0

    def counted(name: str, target: Any) -> None:
        original = getattr(target, name)

        def call(*args: Any, **options: Any) -> Any:
            nonlocal passes, sampled
            passes += name == "decode"
            sampled += name != "decode"
            return original(*args, **options)

        monkeypatch.setattr(target, name, call)

    counted("decode", model)
    counted("sample_payload", model)
    counted("draw", model.words)
    run(model, tokenizer, requests(tokenizer, 1))
    assert sampled > 2 and passes == sampled  # the prefill, and one pass after each but the last


def test_heads_run_only_on_rows_that_need_them(denovo: Any, monkeypatch: Any) -> None:
    model, tokenizer = denovo
    original, rows = model.sample_payload, []

    def sample_payload(kind: int, hidden: Tensor, *others: Any) -> Tensor:
        rows.append(len(hidden))
        return original(kind, hidden, *others)

    monkeypatch.setattr(model, "sample_payload", sample_payload)
    drawn = run(model, tokenizer, requests(tokenizer, 12))
    lengths = {len(d.sequence) for d in drawn}
    assert len(lengths) > 1  # rows of one batch are in different states
    slots = sum(int((d.sequence.kinds > 0).sum()) - 1 for d in drawn)  # the first site is pinned
    assert sum(rows) == slots


def test_constraints_hold(denovo: Any) -> None:
    model, tokenizer = denovo
    wanted = [tokenizer.request({"elements": ["O", "Ti"], "max_atoms": 3})] * 20
    for drawn in run(model, tokenizer, wanted, temperature=3.0):
        crystal = tokenizer.decode(drawn.sequence)
        assert set(crystal.species) == {"O", "Ti"} and len(crystal) <= 3


@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_score_is_the_density_of_the_sample(task: str, request: pytest.FixtureRequest) -> None:
    """Words and payloads, from one pass over the finished sequence."""
    model, tokenizer = request.getfixturevalue(task)
    for drawn in run(model, tokenizer, requests(tokenizer, 6), score=True):
        batch = pack([drawn.sequence])
        with torch.no_grad():
            hidden, inputs = model(batch)
        total = run(model, tokenizer, [drawn.job.request] * (drawn.job.index + 1))[-1].logp
        for p in range(len(batch) - 1):
            kind = int(batch.kinds[p + 1])
            pinned = kind == 2 and batch.kinds[p] != 2
            if kind == 0 or pinned:
                continue
            at = torch.tensor([p])
            near = select(inputs.next, at)
            target = model.target(kind, batch.values[at + 1], near)
            total += float(model.head(kind).log_prob(model.condition(hidden[at], near), target))
        assert drawn.logp == pytest.approx(total, abs=0.02)
    if task == "csp":
        plain = run(model, tokenizer, requests(tokenizer, 2))
        assert all(d.logp == 0.0 for d in plain)


def test_a_row_of_nan_does_not_spread(csp: Any, monkeypatch: Any) -> None:
    """A sample that went wrong leaves nothing behind for the next row in its place."""
    model, tokenizer = csp
    wanted = requests(tokenizer, 9)
    clean = run(model, tokenizer, wanted, batch_size=2)
    sample = AutoregressiveModel.sample_payload
    calls = [0]

    def broken(self: Any, kind: int, hidden: Tensor, *rest: Any) -> Tensor:
        payload = sample(self, kind, hidden, *rest)
        calls[0] += 1
        return torch.full_like(payload, float("nan")) if calls[0] == 1 else payload

    monkeypatch.setattr(AutoregressiveModel, "sample_payload", broken)
    found = run(model, tokenizer, wanted, batch_size=2)
    bad = [d.job.index for d in found if np.isnan(d.sequence.values).any()]
    assert bad == [0, 1]
    assert_same(clean[2:], found[2:])


def test_too_long_sequences_fail_alone(denovo: Any) -> None:
    model, tokenizer = denovo
    wanted = [tokenizer.request({}), tokenizer.request({"max_atoms": 1})] * 6
    drawn = run(model, tokenizer, wanted, max_tokens=8, temperature=2.0)
    failed = [d for d in drawn if d.failure]
    assert failed and all("8 tokens" in d.failure for d in failed)
    assert not any(d.failure for d in drawn[1::2])


def test_long_sequences_grow_the_cache() -> None:
    """More than the 32 positions that a row has at first.

    A strongly shaken model is chaotic: rounding grows tenfold a site.
    """
    tokenizer = crystal_tokenizer(max_atoms=40)
    model = tiny_model(tokenizer, shake=0.03)
    wanted = [tokenizer.request({"composition": c}) for c in ("H30", "Na Cl", "O20")]
    found = run(model, tokenizer, wanted, batch_size=2, payload=SamplerSettings(steps=2))
    assert [len(d.sequence) for d in found] == [64, 8, 44]
    alone = run(model, tokenizer, wanted, batch_size=1, payload=SamplerSettings(steps=2))
    assert_same(found, alone, 1e-4)


def test_failures_are_drawn_again_and_counted(csp: Any, monkeypatch: Any) -> None:
    model, tokenizer = csp
    verdicts = {0: 1, 3: 5}  # index -> how often it fails

    def judge(structure: Any, request: Request) -> str:
        index = int(request.id)
        verdicts[index] = verdicts.get(index, 0) - 1
        return "not good enough" if verdicts[index] >= 0 else ""

    monkeypatch.setattr(tokenizer, "verify", judge)
    wanted = [tokenizer.request({"composition": "Na Cl"}, id=str(i)) for i in range(5)]
    settings = GenerationSettings(retries=2, seed=3)
    samples = {s.index: s for s in draw(model, tokenizer, wanted, settings)}
    assert sorted(samples) == [0, 1, 2, 3, 4]
    assert [samples[i].attempts for i in range(5)] == [2, 1, 1, 3, 1]
    assert [samples[i].status for i in range(5)] == ["ok", "ok", "ok", "failed", "ok"]
    assert samples[3].message == "not good enough" and samples[3].structure is None
    assert [len(samples[i].earlier) for i in range(5)] == [1, 0, 0, 2, 0]
    assert set(samples[3].earlier) == {"not good enough"}


def test_an_attempt_is_a_new_draw(csp: Any) -> None:
    model, tokenizer = csp
    one = tokenizer.request({"composition": "Sr Ti O3"})
    settings = GenerationSettings(seed=3)
    jobs = [Job(one, 0, attempt) for attempt in range(3)]
    drawn = list(Engine(model, tokenizer, settings).run(jobs))
    assert len({d.sequence.values.tobytes() for d in drawn}) == 3


def test_no_jobs_no_samples(csp: Any) -> None:
    model, tokenizer = csp
    assert list(Engine(model, tokenizer, GenerationSettings()).run([])) == []


def test_random_crystals_are_expressible() -> None:
    """The prompts of this file and the data that the model has seen share one vocabulary."""
    tokenizer = crystal_tokenizer()
    for crystal in random_crystals(5):
        assert tokenizer.encode(crystal).context > 0
