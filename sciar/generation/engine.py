"""The engine: one loop for all domains.

Rows are sequences in the making. Each round samples one token or payload for every row, appends
what the grammar forces, and feeds the new positions in one forward pass. A network that is asked
questions is fed the question about the next word with them. A finished row's place is
taken by the next job at once. Samples of one request share the prefill of their prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciar.generation.cache import KVCache, PrefillMemory, StepMemory, StepPlan
from sciar.generation.settings import GenerationSettings
from sciar.generation.store import RowStore
from sciar.model import AutoregressiveModel
from sciar.nn.attention import PackedMemory
from sciar.nn.inputs import Inputs, Surroundings, inputs_at
from sciar.nn.streams import derive, sample_keys, uniform
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Choice, Cursor, End, Request, SlotQuery
from sciar.tokenization.sequence import TokenSequence


@dataclass(frozen=True, eq=False)
class Job:
    """One sample to draw: what is asked for, its index in the run, and which attempt this is."""

    request: Request
    index: int
    attempt: int = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """One finished sequence.

    Attributes:
        job: what was asked for.
        sequence: the tokens; incomplete if ``failure`` is set.
        failure: empty, or why the sequence could not be completed.
        logp: log-probability of the sampled words under the grammar, plus, if asked for, the
            log-density of the payloads.
    """

    job: Job
    sequence: TokenSequence
    failure: str
    logp: float


@dataclass(eq=False)
class _Row:
    """A sequence in the making.

    Attributes:
        fed: positions whose content has been fed.
        asked: position that was asked about last, -1: none.
        length: positions in the cache.
    """

    job: Job
    cursor: Cursor
    fed: int = 0
    asked: int = -1
    length: int = 0
    logp: float = 0.0

    def feed(self, questions: bool, private: bool) -> list[tuple[int, bool, bool]]:
        """What is to be fed now: (position, whether it is a question, whether the next is told).

        Questions stand where training puts them. Private ones that are answered leave no trace.
        """
        writer, known = self.cursor.writer, self.cursor.known
        kinds, weights, written = writer.kinds, writer.weights, len(writer.ids)

        def asks(p: int) -> bool:
            return questions and p < written and kinds[p] == 0 and weights[p] > 0

        entries: list[tuple[int, bool, bool]] = []
        for p in range(self.fed, known):
            if asks(p) and p != self.asked and not private:
                entries.append((p, True, True))
            entries.append((p, False, p + 1 < written and not asks(p + 1)))
        if questions and isinstance(self.cursor.expect(), Choice):
            entries.append((known, True, True))
            self.asked = known
        self.fed = known
        self.length += len(entries) - (private and entries[-1][1])
        return entries


class Engine:
    """Draws sequences from a model.

    Args:
        model: in evaluation mode.
        tokenizer: the one that the model was trained with.
        settings: how to sample.
    """

    def __init__(
        self, model: AutoregressiveModel, tokenizer: LayoutTokenizer, settings: GenerationSettings
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.device = next(model.parameters()).device
        self.rows: list[_Row] = []
        self.hidden = torch.zeros(0, model.config.decoder.hidden, device=self.device)
        self.after: Surroundings | None = None
        self.cache: KVCache | None = None
        self.store: RowStore | None = None

    @torch.inference_mode()
    def run(self, jobs: Iterable[Job]) -> Iterator[Drawn]:
        """Finished sequences, in the order in which they finish."""
        queue = deque(jobs)
        size = min(self.settings.batch_size, len(queue))
        self.rows = []
        self._allocate(size)
        while queue or self.rows:
            if queue and len(self.rows) < size:
                yield from self._admit(queue, size)
            if not self.rows:
                continue
            self._sample()
            yield from self._retire()
            if self.rows:
                self._feed()

    def _allocate(self, size: int) -> None:
        decoder = self.model.config.decoder
        heads = decoder.kv_heads or decoder.heads
        like = self.hidden.new_zeros(())
        width = decoder.hidden // decoder.heads
        self.cache = KVCache.empty(decoder.layers, size, heads, 32, width, like)
        layout = self.tokenizer.layout
        payload = self.model.vocabulary.width
        self.store = RowStore(size, 32, payload, layout.references, self.device, layout.axes)

    def _ensure(self, length: int) -> None:
        """Make room for rows of this length."""
        assert self.cache is not None and self.store is not None
        if length > self.store.length:
            length = max(length, 2 * self.store.length)
            self.cache, self.store = self.cache.grown(length), self.store.grown(length)

    # -- admission -------------------------------------------------------------------------------

    def _admit(self, queue: deque[Job], size: int) -> Iterator[Drawn]:
        """Fill free rows from the queue; prompts that occur several times are prefilled once."""
        new: list[_Row] = []
        while queue and len(self.rows) + len(new) < size:
            job = queue.popleft()
            cursor = self.tokenizer.cursor(job.request)
            if isinstance(end := cursor.expect(), End):
                yield Drawn(job, cursor.sequence(), end.failure, 0.0)
                continue
            new.append(_Row(job, cursor))
        if new:
            self._prefill(new)

    def _prefill(self, new: list[_Row]) -> None:
        first = len(self.rows)
        self.rows += new
        entries = self._entries(new, [0] * len(new), first)
        store, cache = self.store, self.cache
        assert store is not None and cache is not None
        places = list(range(first, first + len(new)))
        # what a former row left behind is masked, but a masked NaN would still spread
        cache.keys[:, first : first + len(new)] = 0.0
        cache.values[:, first : first + len(new)] = 0.0
        leaders: dict[int, int] = {}
        leader = [leaders.setdefault(id(row.job.request), i) for i, row in enumerate(new)]
        unique = sorted(set(leader))
        lengths = torch.tensor([len(entries[i]) for i in unique], device=self.device)
        contexts = torch.tensor([new[i].cursor.context for i in unique], device=self.device)
        inside = torch.cat([torch.arange(int(n), device=self.device) for n in lengths])
        owner = torch.tensor([places[i] for i in unique], device=self.device)
        memories = [
            PrefillMemory(PackedMemory.build(lengths, contexts)) for _ in self.model.decoder.layers
        ]
        inputs = self._inputs([entries[i] for i in unique], owner.repeat_interleave(lengths))
        hidden = self.model.decode(inputs, inside, memories)
        ends = lengths.cumsum(0)
        # Each row copies what its leader computed.
        rank = {u: i for i, u in enumerate(unique)}
        source = torch.tensor([rank[i] for i in leader], device=self.device)
        take = torch.cat([torch.arange(int(ends[s] - lengths[s]), int(ends[s])) for s in source])
        rows = torch.tensor(places, device=self.device).repeat_interleave(lengths[source])
        for layer, memory in enumerate(memories):
            assert memory.keys is not None and memory.values is not None
            cache.keys[layer][rows, :, inside[take]] = memory.keys[take]
            cache.values[layer][rows, :, inside[take]] = memory.values[take]
        last = ends[source] - 1
        self._remember(first, hidden[last], _pick(inputs.next, last))

    def _entries(
        self, rows: Sequence[_Row], since: Sequence[int], first: int
    ) -> list[list[tuple[int, bool, bool]]]:
        """What each row feeds now; the store holds all of it."""
        config = self.model.config
        entries = [row.feed(config.questions, config.private) for row in rows]
        self._ensure(max(max(len(r.cursor), r.length) for r in rows) + 2)
        assert self.store is not None
        self.store.append(range(first, first + len(rows)), [r.cursor for r in rows], since)
        if config.questions and not self.tokenizer.layout.axes:
            # A word without a place is asked about before it is written down.
            self.store.blank([(first + i, len(row.cursor)) for i, row in enumerate(rows)])
        return entries

    def _inputs(self, entries: Sequence[list[tuple[int, bool, bool]]], owner: Tensor) -> Inputs:
        """Inputs of the entries of several rows, whose places in the store are ``owner``."""
        assert self.store is not None
        flat = torch.tensor([e for own in entries for e in own], device=self.device)
        at = owner * self.store.length + flat[:, 0]
        asks = flat[:, 1].bool() if self.model.config.questions else None
        return inputs_at(self.store, at, flat[:, 2].bool(), asks)

    def _remember(self, first: int, hidden: Tensor, after: Surroundings) -> None:
        """Keep the last state of the rows from ``first`` on."""
        self.hidden = torch.cat([self.hidden[:first], hidden])
        if first == 0 or self.after is None:
            self.after = after
        else:
            kept = _pick(self.after, torch.arange(first, device=self.device))
            joined = {k: torch.cat([getattr(kept, k), v]) for k, v in vars(after).items()}
            self.after = Surroundings(**joined)

    # -- sampling --------------------------------------------------------------------------------

    def _keys(self, rows: Sequence[_Row]) -> Tensor:
        """Random key of the position that each row samples next."""
        index = torch.tensor([row.job.index for row in rows], device=self.device)
        attempt = torch.tensor([row.job.attempt for row in rows], device=self.device)
        place = torch.tensor([row.cursor.known for row in rows], device=self.device)
        return derive(derive(sample_keys(self.settings.seed, index), attempt), place)

    def _sample(self) -> None:
        choices: list[tuple[int, np.ndarray]] = []
        slots: dict[int, list[int]] = {}
        for i, row in enumerate(self.rows):
            expected = row.cursor.expect()
            if isinstance(expected, Choice):
                choices.append((i, expected.mask))
            elif isinstance(expected, SlotQuery):
                slots.setdefault(expected.kind, []).append(i)
        if choices:
            self._sample_words(choices)
        for kind in sorted(slots):
            self._sample_slots(kind, slots[kind])

    def _sample_words(self, choices: list[tuple[int, np.ndarray]]) -> None:
        at = torch.tensor([i for i, _ in choices], device=self.device)
        rows = [self.rows[i] for i, _ in choices]
        allowed = torch.from_numpy(np.stack([mask for _, mask in choices])).to(self.device)
        u = uniform(self._keys(rows), 1)[:, 0]
        settings = self.settings
        tokens, logp = self.model.words.sample(
            self.hidden[at], allowed, u, settings.temperature, settings.top_p
        )
        for row, token, value in zip(rows, tokens.tolist(), logp.tolist(), strict=True):
            row.logp += value
            row.cursor.push_token(token)

    def _sample_slots(self, kind: int, indices: list[int]) -> None:
        assert self.after is not None
        at = torch.tensor(indices, device=self.device)
        rows = [self.rows[i] for i in indices]
        after, hidden = _pick(self.after, at), self.hidden[at]
        keys = self._keys(rows)
        payload = self.model.sample_payload(kind, hidden, after, keys, self.settings.payload)
        if self.settings.score:
            head = self.model.head(kind)
            target = self.model.target(kind, payload, after)
            density = head.log_prob(self.model.condition(hidden, after), target)
            for row, value in zip(rows, [] if density is None else density.tolist(), strict=True):
                row.logp += value
        for row, value in zip(rows, payload.cpu().numpy(), strict=True):
            row.cursor.push_value(value)

    # -- bookkeeping -----------------------------------------------------------------------------

    def _retire(self) -> Iterator[Drawn]:
        """Hand out finished rows and close the gaps they leave."""
        keep: list[int] = []
        for i, row in enumerate(self.rows):
            end = row.cursor.expect()
            if isinstance(end, End):
                yield Drawn(row.job, row.cursor.sequence(), end.failure, row.logp)
            elif len(row.cursor) > self.settings.max_tokens:
                why = f"longer than {self.settings.max_tokens} tokens"
                yield Drawn(row.job, row.cursor.sequence(), why, row.logp)
            else:
                keep.append(i)
        if len(keep) < len(self.rows):
            self._compact(keep)

    def _compact(self, keep: list[int]) -> None:
        """Move the last rows into the gaps, so that rows in use are the first ones."""
        assert self.cache is not None and self.store is not None and self.after is not None
        n = len(keep)
        free = sorted(set(range(n)) - set(keep))
        moved = [i for i in keep if i >= n]
        order = list(range(n))
        for gap, source in zip(free, moved, strict=True):
            order[gap] = source
        if moved:
            origin = torch.tensor(moved, device=self.device)
            target = torch.tensor(free, device=self.device)
            self.cache.keys[:, target] = self.cache.keys[:, origin]
            self.cache.values[:, target] = self.cache.values[:, origin]
            self.store.move(origin, target)
        index = torch.tensor(order, dtype=torch.long, device=self.device)
        self.rows = [self.rows[i] for i in order]
        self.hidden, self.after = self.hidden[index], _pick(self.after, index)

    def _feed(self) -> None:
        """One forward pass over the new positions of every row."""
        rows = self.rows
        begins = [row.length for row in rows]
        entries = self._entries(rows, [row.fed for row in rows], 0)
        store, cache = self.store, self.cache
        assert store is not None and cache is not None
        counts = [len(own) for own in entries]
        n = max(counts)
        lengths = torch.tensor(counts, device=self.device)
        owner = torch.arange(len(rows), device=self.device).repeat_interleave(lengths)
        inside = torch.cat([torch.arange(c, device=self.device) for c in counts])
        position = torch.tensor(begins, device=self.device)[owner] + inside
        plan = StepPlan(
            row=owner,
            position=position,
            slot=owner * n + inside,
            n=n,
            rows=len(rows),
            longest=max(b + c for b, c in zip(begins, counts, strict=True)),
        )
        inputs = self._inputs(entries, owner)
        used = KVCache(cache.keys[:, : len(rows)], cache.values[:, : len(rows)])
        memories = [StepMemory(used, i, plan) for i in range(len(self.model.decoder.layers))]
        hidden = self.model.decode(inputs, position, memories)
        last = lengths.cumsum(0) - 1
        self.hidden, self.after = hidden[last], _pick(inputs.next, last)


def _pick(after: Surroundings, at: Tensor) -> Surroundings:
    return Surroundings(**{name: value[at] for name, value in vars(after).items()})
