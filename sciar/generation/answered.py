"""Answers of a model to questions about proteins, in batches.

Questions with one decision, and answers with one token a residue that are read at once, need one
pass over their prompts; all others go through the engine. Neither depends on what else is in the
batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sciar.generation.engine import Engine, Job, Step
from sciar.generation.settings import GenerationSettings
from sciar.model import AutoregressiveModel
from sciar.objectives.grouped import slots_of_prompt
from sciar.tokenization.cursor import Request
from sciar.tokenization.packing import pack
from sciar.tokenization.protein import ProteinTokenizer


@dataclass(frozen=True, eq=False)
class Answered:
    """One answer as tokens, with the decisions behind it.

    Attributes:
        tokens: of the answer, without prompt and end.
        payload: numbers of its slots.
        steps: the decisions, in order; tokens that the grammar forces are none.
        failure: empty, or why there is no answer.
    """

    tokens: tuple[str, ...]
    payload: tuple[float, ...]
    steps: tuple[Step, ...]
    failure: str = ""


@torch.inference_mode()
def answer(
    model: AutoregressiveModel,
    tokenizer: ProteinTokenizer,
    requests: Sequence[Request],
    settings: GenerationSettings,
    *,
    at_once: bool = True,
    budget: int = 16_384,
) -> list[Answered]:
    """One answer for each request, in their order.

    Requests about one protein should follow each other: it is then encoded once.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
        requests: made by the tokenizer.
        settings: of the engine; a trace is always kept.
        at_once: read answers with one token a residue from the states of the residues, in one pass,
            which needs a model whose training included this (``objective.readout``).
        budget: most tokens of prompts that are read in one pass; it never changes an answer.
    """
    quick = [i for i, r in enumerate(requests) if _is_quick(r, at_once)]
    found: dict[int, Answered] = {}
    for part in _parts(requests, quick, budget):
        read = _read(model, tokenizer, [requests[i] for i in part])
        found |= dict(zip(part, read, strict=True))
    slow = [i for i in range(len(requests)) if i not in found]
    for part in _parts(requests, slow, budget):
        found |= _drawn(model, tokenizer, requests, part, settings)
    return [found[i] for i in range(len(requests))]


def _parts(requests: Sequence[Request], chosen: list[int], budget: int) -> Iterator[list[int]]:
    """Requests in order, as many at a time as their prompts fit into the budget."""
    part: list[int] = []
    total = 0
    for i in chosen:
        size = len(requests[i].constraints["protein"]) + 2
        if part and total + size > budget:
            yield part
            part, total = [], 0
        part.append(i)
        total += size
    if part:
        yield part


def _drawn(
    model: AutoregressiveModel,
    tokenizer: ProteinTokenizer,
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
    tokenizer: ProteinTokenizer,
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
        request = drawn.job.request
        task, protein = request.constraints["task"], request.constraints["protein"]
        names = [tokenizer.vocabulary.names[i] for i in drawn.sequence.ids]
        tokens = names[drawn.sequence.context : -1]
        own = counts[owner[id(drawn.job)]]
        for member in task.decode(tokens, protein):
            own[member] = own.get(member, 0.0) + 1.0 / samples
    return [{m: min(1.0, f) for m, f in own.items()} for own in counts]


def _is_quick(request: Request, at_once: bool) -> bool:
    codec = request.constraints["task"].codec
    if codec.parallel:
        return at_once
    protein = request.constraints["protein"]
    if codec.slots or codec.max_tokens(protein) != 1:
        return False
    return not codec.grammar(codec.vocabulary, protein).allowed()[1]


def _read(
    model: AutoregressiveModel, tokenizer: ProteinTokenizer, requests: Sequence[Request]
) -> list[Answered]:
    """Answers from one pass over the prompts."""
    if not requests:
        return []
    device = next(model.parameters()).device
    asked = [(r.constraints["task"], r.constraints["protein"]) for r in requests]
    batch = pack([tokenizer.prompt(protein, task) for task, protein in asked]).to(device)
    hidden, _ = model(batch)
    ends, made = batch.lengths.cumsum(0).tolist(), []
    for end, length, (task, protein) in zip(ends, batch.lengths.tolist(), asked, strict=True):
        if task.codec.parallel:
            ids = tokenizer.vocabulary.ids(task.codec.names)
            rows = slots_of_prompt(batch, slice(end - length, end))
        else:
            ids = np.flatnonzero(task.grammar(tokenizer.vocabulary, protein).allowed()[0])
            rows = torch.tensor([end - 1], device=device)
        # Only the rows of the output layer that the grammar allows are computed.
        weight = model.words.out.weight[torch.from_numpy(ids).long().to(device)]
        log_p = (hidden[rows] @ weight.T).float().log_softmax(-1).cpu().numpy()
        best = ids[log_p.argmax(1)]
        none = np.zeros(0)
        steps = tuple(
            Step(int(token), ids, row, none.astype(np.int64), none)
            for token, row in zip(best, log_p, strict=True)
        )
        names = tuple(tokenizer.vocabulary.names[t] for t in best)
        made.append(Answered(names, (), steps))
    return made
