"""Answers of a model to questions about what is given whole, such as a protein, in batches.

Questions with one decision, numbers, and answers with one word for each slot of the prompt (a
residue) that are read at once, need one pass over their prompts; all others go through the engine.
Neither depends on what else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sciar.generation.engine import Engine, Job, Step, offsets_of
from sciar.generation.numbers import Estimate, blank, estimates
from sciar.generation.questions import Asking, Question
from sciar.generation.settings import GenerationSettings
from sciar.model import AutoregressiveModel
from sciar.objectives.grouped import slots_of_prompt
from sciar.tokenization.cursor import Request
from sciar.tokenization.packing import pack

_NO_IDS, _NONE = np.zeros(0, dtype=np.int64), np.zeros(0)


@dataclass(frozen=True, eq=False)
class Answered:
    """One answer as tokens, with the decisions behind it.

    Attributes:
        tokens: of the answer, without prompt and end.
        payload: numbers of its slots.
        steps: the decisions, in order; tokens that the grammar forces are none.
        failure: empty, or why there is no answer.
        estimate: of answers that are one number, with its interval, if the head has one.
    """

    tokens: tuple[str, ...]
    payload: tuple[float, ...]
    steps: tuple[Step, ...]
    failure: str = ""
    estimate: Estimate | None = None


@torch.inference_mode()
def answer(
    model: AutoregressiveModel,
    tokenizer: Asking,
    requests: Sequence[Request],
    settings: GenerationSettings,
    *,
    at_once: bool = True,
    budget: int = 16_384,
) -> list[Answered]:
    """One answer for each request, in their order.

    Requests about one subject should follow each other: it is then encoded once.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
        requests: made by the tokenizer.
        settings: of the engine; a trace is always kept.
        at_once: read answers with one word for each slot of the prompt from the states of the
            slots, in one pass, which needs a model whose training included this
            (``objective.readout``).
        budget: most tokens of prompts that are read in one pass; it never changes an answer.
    """
    questions = [tokenizer.question(request) for request in requests]
    quick = [i for i, question in enumerate(questions) if _is_quick(question, at_once)]
    found: dict[int, Answered] = {}
    names = tokenizer.vocabulary.names
    for part in _parts(questions, quick, budget):
        read = _read(model, [questions[i] for i in part], settings.offsets)
        for i, (tokens, steps) in zip(part, read, strict=True):
            found[i] = Answered(tuple(names[t] for t in tokens), (), tuple(steps))
    if settings.payload.temperature == 0:
        found |= _numbers(model, tokenizer, requests, questions, budget)
    slow = [i for i in range(len(requests)) if i not in found]
    for part in _parts(questions, slow, budget):
        found |= _drawn(model, tokenizer, requests, part, settings)
    return [found[i] for i in range(len(requests))]


def _numbers(
    model: AutoregressiveModel,
    tokenizer: Asking,
    requests: Sequence[Request],
    questions: Sequence[Question],
    budget: int,
) -> dict[int, Answered]:
    """Answers that are one number, by the index of their request."""
    asked = {i: blank(tokenizer, requests[i]) for i, q in enumerate(questions) if q.number}
    found: dict[int, Answered] = {}
    for part in _parts(questions, [i for i, s in asked.items() if s is not None], budget):
        sequences = [s for i in part if (s := asked[i]) is not None]
        made = estimates(model, sequences)
        for i, sequence, estimate in zip(part, sequences, made or (), strict=bool(made)):
            token = tokenizer.vocabulary.names[sequence.ids[-2]]
            found[i] = Answered((token,), (estimate.value,), (), estimate=estimate)
    return found


def _parts(questions: Sequence[Question], chosen: list[int], budget: int) -> Iterator[list[int]]:
    """Questions in order, as many at a time as their prompts fit into the budget."""
    part: list[int] = []
    total = 0
    for i in chosen:
        size = questions[i].size
        if part and total + size > budget:
            yield part
            part, total = [], 0
        part.append(i)
        total += size
    if part:
        yield part


def _drawn(
    model: AutoregressiveModel,
    tokenizer: Asking,
    requests: Sequence[Request],
    part: list[int],
    settings: GenerationSettings,
) -> dict[int, Answered]:
    """Answers of the engine by the index of their request."""
    settings = replace(settings, trace=True, batch_size=min(settings.batch_size, len(part)))
    found = {}
    for drawn in Engine(model, tokenizer, settings).run([Job(requests[i], i) for i in part]):
        sequence = drawn.sequence
        cut = slice(sequence.context, len(sequence) - (not drawn.failure))
        tokens = tuple(tokenizer.vocabulary.names[i] for i in sequence.ids[cut])
        payload = tuple(sequence.values[cut][sequence.kinds[cut] > 0, 0].tolist())
        found[drawn.job.index] = Answered(tokens, payload, drawn.steps, drawn.failure)
    return found


def frequencies(
    model: AutoregressiveModel,
    tokenizer: Asking,
    requests: Sequence[Request],
    samples: int,
    seed: int = 0,
) -> list[dict[Any, float]]:
    """How often each member of a set-valued answer occurs among sampled answers, by request.

    The samples of a request share the reading of its prompt, and depend on the seed and the id of
    the request alone, not on the others.
    """
    settings = GenerationSettings(temperature=1.0, seed=seed, batch_size=4 * samples)
    settings = replace(settings, max_tokens=1 << 20)
    jobs = []
    for i, request in enumerate(requests):
        digest = hashlib.sha256(request.id.encode()).digest()
        first = int.from_bytes(digest[:5], "little") * samples
        jobs += [(i, Job(request, first + k)) for k in range(samples)]
    owner = {id(job): i for i, job in jobs}
    counts: list[dict[Any, float]] = [{} for _ in requests]
    for drawn in Engine(model, tokenizer, settings).run([job for _, job in jobs]):
        names = [tokenizer.vocabulary.names[i] for i in drawn.sequence.ids]
        tokens = names[drawn.sequence.context : -1]
        own = counts[owner[id(drawn.job)]]
        for member in tokenizer.question(drawn.job.request).members(tokens):
            own[member] = own.get(member, 0.0) + 1.0 / samples
    return [{m: min(1.0, f) for m, f in own.items()} for own in counts]


def _is_quick(question: Question, at_once: bool) -> bool:
    return at_once if question.parallel else question.single


def _read(
    model: AutoregressiveModel, questions: Sequence[Question], offsets: Mapping[str, float]
) -> list[tuple[list[int], list[Step]]]:
    """Tokens and decisions of answers from one pass over the prompts."""
    table = offsets_of(model.vocabulary, offsets).numpy()
    device = next(model.parameters()).device
    batch = pack([question.prompt() for question in questions]).to(device)
    ends = batch.lengths.cumsum(0).tolist()
    rows = [
        slots_of_prompt(batch, slice(end - length, end))
        if question.parallel
        else torch.tensor([end - 1], device=device)
        for end, length, question in zip(ends, batch.lengths.tolist(), questions, strict=True)
    ]
    hidden, _ = model(batch, read=torch.cat(rows))
    made = []
    for states, question in zip(hidden.split([len(r) for r in rows]), questions, strict=True):
        ids = question.choices()
        # Only the rows of the output layer that the grammar allows are computed.
        weight = model.words.out.weight[torch.from_numpy(ids).long().to(device)]
        log_p = (states @ weight.T).float().log_softmax(-1).cpu().numpy()
        best, free = (log_p + table[ids]).argmax(1), np.arange(len(log_p))
        if (forced := question.forced()) is not None:
            best, free = np.where(forced < 0, best, forced), np.flatnonzero(forced < 0)
        tokens = ids[best].tolist()
        made.append((tokens, [Step(tokens[i], ids, log_p[i], _NO_IDS, _NONE) for i in free]))
    return made
