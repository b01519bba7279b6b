"""The engine: one loop for all domains.

Rows are sequences in the making. Each round samples one token or payload for every row, appends
what the grammar forces, and feeds the new positions in one forward pass. A network that is asked
questions is fed the question about the next word with them. A finished row's place is
taken by the next job at once. Samples of one request share the prefill of their prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.errors import UsageError
from sciar.generation.cache import StepPlan
from sciar.generation.layers import LayerCache
from sciar.generation.questions import Walking
from sciar.generation.ranked import take_next
from sciar.generation.settings import GenerationSettings
from sciar.generation.store import RowStore
from sciar.heads.base import Guide
from sciar.model import AutoregressiveModel
from sciar.nn.decoder import packed_memories
from sciar.nn.inputs import Inputs, Surroundings
from sciar.nn.streams import derive, sample_keys, uniform
from sciar.tokenization.cursor import Choice, Cursor, End, Request, SlotQuery
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Job:
    """One sample to draw: what is asked for, its index in the run, and which attempt this is."""

    request: Request
    index: int
    attempt: int = 0


@dataclass(frozen=True, eq=False)
class Step:
    """The decision about one word.

    Attributes:
        token: id of the word that was taken.
        ids: ids of the words that could stand there.
        log_p: their log-probabilities under the grammar, at temperature 1.
        decided: ids of the members of a ranked list that this step decides about; else empty.
        chances: the chance of each to belong to the list.
    """

    token: int
    ids: np.ndarray
    log_p: np.ndarray
    decided: np.ndarray
    chances: np.ndarray


@dataclass(frozen=True, eq=False)
class Drawn:
    """One finished sequence.

    Attributes:
        job: what was asked for.
        sequence: the tokens; incomplete if ``failure`` is set.
        failure: empty, or why the sequence could not be completed.
        logp: log-probability of the sampled words under the grammar, plus, if asked for, the
            log-density of the payloads.
        steps: one for each sampled word, if the settings ask for a trace.
    """

    job: Job
    sequence: TokenSequence
    failure: str
    logp: float
    steps: tuple[Step, ...] = ()


Entry = tuple[int, bool, bool]
"""A position to feed, whether it is a question, and whether the position after it is announced."""


@dataclass(eq=False)
class _Row:
    """A sequence in the making.

    Attributes:
        fed: positions whose content has been fed.
        asked: position that was asked about last, -1: none.
        length: positions in the cache.
        group: words that are asked about at once.
        twin: the same sequence where the network is not told the conditions.
        leader: the row that this is the twin of.
    """

    job: Job
    cursor: Cursor
    fed: int = 0
    asked: int = -1
    length: int = 0
    group: int = 1
    logp: float = 0.0
    steps: list[Step] = field(default_factory=list)
    twin: _Row | None = None
    leader: _Row | None = None

    def push_token(self, token: int) -> None:
        """Write a word, in the twin too."""
        self.cursor.push_token(token)
        if self.twin is not None:
            self.twin.cursor.push_token(token)

    def push_value(self, value: np.ndarray) -> None:
        """Fill a slot, in the twin too."""
        self.cursor.push_value(value)
        if self.twin is not None:
            self.twin.cursor.push_value(value)

    def feed(self, questions: bool, private: bool, group: int) -> list[Entry]:
        """What is to be fed now.

        Questions stand where training puts them, and ``group`` of them about what comes next.
        Private ones that are answered leave no trace.
        """
        writer, known = self.cursor.writer, self.cursor.known
        kinds, weights, written = writer.kinds, writer.weights, len(writer.ids)

        def asks(p: int) -> bool:
            return questions and p < written and kinds[p] == 0 and weights[p] > 0

        entries: list[Entry] = []
        for p in range(self.fed, known):
            if asks(p) and p != self.asked and not private:
                entries.append((p, True, True))
            entries.append((p, False, p + 1 < written and not asks(p + 1)))
        if questions and isinstance(self.cursor.expect(), Choice):
            entries += [(known + k, True, True) for k in range(group)]
            self.asked = known
        self.fed, self.group = known, group
        self.length += len(entries) - (group if private and entries[-1][1] else 0)
        return entries


class Engine:
    """Draws sequences from a model.

    Args:
        model: in evaluation mode.
        tokenizer: the one that the model was trained with.
        settings: how to sample.

    Raises:
        UsageError: words are to be drawn at once, but the network has no private questions; a
            temperature or an offset is for a symbol that the model does not have; or samples are to
            be guided, but a head cannot be.
    """

    def __init__(
        self, model: AutoregressiveModel, tokenizer: Walking, settings: GenerationSettings
    ) -> None:
        if settings.at_once and not model.config.private:
            raise UsageError("only a network with private questions can draw words at once")
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.device = next(model.parameters()).device
        vocabulary = model.vocabulary
        for option, names in (
            ("temperatures", settings.temperatures),
            ("offsets", settings.offsets),
        ):
            unknown = [name for name in names if name not in vocabulary]
            if unknown:
                raise UsageError(f"{option}: this model has no symbol {unknown[0]!r}")
        self._temperatures = {vocabulary.id(k): v for k, v in settings.temperatures.items()}
        self._offsets = offsets_of(vocabulary, settings.offsets).to(self.device)
        if settings.guided:
            for segment in tokenizer.layout.segments:
                if segment.kind == "slot" and segment.role == "generated":
                    model.guided_head(vocabulary.kind(segment.slot))
        self._untold: dict[int, tuple[Request, Request | None]] = {}
        self.rows: list[_Row] = []
        # States that the next words of each row are drawn from: (rows, words at once, width).
        self.hidden = torch.zeros(0, 1, model.config.decoder.hidden, device=self.device)
        self.after: Surroundings | None = None
        self.cache: LayerCache | None = None
        self.store: RowStore | None = None

    @torch.inference_mode()
    def run(self, jobs: Iterable[Job]) -> Iterator[Drawn]:
        """Finished sequences, in the order in which they finish."""
        queue = deque(jobs)
        each = 1 + self.settings.guided
        size = min(self.settings.batch_size, len(queue)) * each
        self.rows = []
        self._allocate(size)
        while queue or self.rows:
            if queue and len(self.rows) + each <= size:
                yield from self._admit(queue, size)
            if not self.rows:
                continue
            self._sample()
            yield from self._retire()
            if self.rows:
                self._feed()

    def _allocate(self, size: int) -> None:
        decoder = self.model.config.decoder
        self.cache = LayerCache.empty(decoder, size, 32, self.hidden.new_zeros(()))
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
        each = 1 + self.settings.guided
        while queue and len(self.rows) + len(new) + each <= size:
            job = queue.popleft()
            untold = self._without(job.request)
            told = job.request if untold is None or self.settings.guidance else untold
            cursor = self.tokenizer.cursor(told)
            if isinstance(end := cursor.expect(), End):
                yield Drawn(job, cursor.sequence(), end.failure, 0.0)
                continue
            row = _Row(job, cursor)
            new.append(row)
            if self.settings.guided and untold is not None:
                row.twin = _Row(job, self.tokenizer.cursor(untold), leader=row)
                new.append(row.twin)
        if new:
            self._prefill(new)

    def _without(self, request: Request) -> Request | None:
        """The request without its conditions, one object for each request of the run."""
        if self.settings.guidance == 1.0:
            return None
        if id(request) not in self._untold:
            self._untold[id(request)] = request, self.tokenizer.unconditional(request)
        return self._untold[id(request)][1]

    def _prefill(self, new: list[_Row]) -> None:
        first = len(self.rows)
        self.rows += new
        entries = self._entries(new, [0] * len(new), first)
        store, cache = self.store, self.cache
        assert store is not None and cache is not None
        places = list(range(first, first + len(new)))
        cache.clear(slice(first, first + len(new)))
        leaders: dict[int, int] = {}
        leader = [leaders.setdefault(id(row.cursor.request), i) for i, row in enumerate(new)]
        unique = sorted(set(leader))
        lengths = torch.tensor([len(entries[i]) for i in unique], device=self.device)
        contexts = torch.tensor([new[i].cursor.context for i in unique], device=self.device)
        inside = torch.cat([torch.arange(int(n), device=self.device) for n in lengths])
        owner = torch.tensor([places[i] for i in unique], device=self.device)
        own = [entries[i] for i in unique]
        private = None
        if self.settings.at_once:
            private = torch.tensor([e[1] for part in own for e in part], device=self.device)
        packed = packed_memories(self.model.config.decoder, lengths, contexts, private=private)
        memories = cache.prefill(packed)
        inputs = self._inputs(own, owner.repeat_interleave(lengths))
        hidden = self.model.decode(inputs, inside, memories)
        ends = lengths.cumsum(0)
        # Each row copies what its leader computed.
        rank = {u: i for i, u in enumerate(unique)}
        source = torch.tensor([rank[i] for i in leader], device=self.device)
        take = torch.cat([torch.arange(int(ends[s] - lengths[s]), int(ends[s])) for s in source])
        rows = torch.tensor(places, device=self.device).repeat_interleave(lengths[source])
        cache.keep(memories, take, rows, inside[take], source, slice(first, first + len(new)))
        last = ends[source] - 1
        self._remember(first, self._states(hidden, last, new), _pick(inputs.next, last))

    def _entries(self, rows: Sequence[_Row], since: Sequence[int], first: int) -> list[list[Entry]]:
        """What each row feeds now; the store holds all of it."""
        config, at_once = self.model.config, self.settings.at_once
        groups = [row.cursor.group() if at_once else [] for row in rows]
        entries = [
            row.feed(config.questions, config.private, max(1, len(group)))
            for row, group in zip(rows, groups, strict=True)
        ]
        self._ensure(max(max(len(r.cursor), r.length) + r.group for r in rows))
        store = self.store
        assert store is not None
        store.append(range(first, first + len(rows)), [r.cursor for r in rows], since)
        if config.questions and not self.tokenizer.layout.axes:
            # A word without a place is asked about before it is written down.
            store.blank([(first + i, len(row.cursor)) for i, row in enumerate(rows)])
        told = zip(rows, groups, strict=True)
        coming = [(first + i, row.fed, group) for i, (row, group) in enumerate(told)]
        store.announce([c for c in coming if len(c[2]) > 1], self.model.vocabulary.id)
        return entries

    def _states(self, hidden: Tensor, last: Tensor, rows: Sequence[_Row]) -> Tensor:
        """(B, G, hidden) states of the last entries of each row, first those of its group."""
        groups = torch.tensor([row.group for row in rows], device=self.device)
        ahead = torch.arange(int(groups.max()), device=self.device)
        return hidden[torch.minimum(last[:, None] - groups[:, None] + 1 + ahead, last[:, None])]

    def _inputs(self, entries: Sequence[list[Entry]], owner: Tensor) -> Inputs:
        """Inputs of the entries of several rows, whose places in the store are ``owner``."""
        assert self.store is not None
        flat = torch.tensor([e for own in entries for e in own], device=self.device)
        at = owner * self.store.length + flat[:, 0]
        asks = flat[:, 1].bool() if self.model.config.questions else None
        return self.model.inputs_at(self.store, at, flat[:, 2].bool(), asks)

    def _remember(self, first: int, hidden: Tensor, after: Surroundings) -> None:
        """Keep the last state of the rows from ``first`` on."""
        most = max(self.hidden.shape[1], hidden.shape[1])
        kept, new = (F.pad(x, (0, 0, 0, most - x.shape[1])) for x in (self.hidden[:first], hidden))
        self.hidden = torch.cat([kept, new])
        if first == 0 or self.after is None:
            self.after = after
        else:
            before = _pick(self.after, torch.arange(first, device=self.device))
            joined = {k: torch.cat([getattr(before, k), v]) for k, v in vars(after).items()}
            self.after = Surroundings(**joined)

    # -- sampling --------------------------------------------------------------------------------

    def _keys(
        self, rows: Sequence[_Row], counts: Tensor | None = None, turns: Tensor | None = None
    ) -> Tensor:
        """Random key of the position that each row samples next.

        With ``counts``, of that many positions of each row, which ``turns`` counts from 0.
        """
        told = [(row.job.index, row.job.attempt, row.cursor.known) for row in rows]
        index, attempt, place = torch.tensor(told, device=self.device).T
        if counts is None or turns is None:
            return derive(derive(sample_keys(self.settings.seed, index), attempt), place)
        keys = derive(sample_keys(self.settings.seed, index), attempt)
        return derive(keys.repeat_interleave(counts), place.repeat_interleave(counts) + turns)

    def _sample(self) -> None:
        choices: list[tuple[int, Choice]] = []
        slots: dict[int, list[int]] = {}
        for i, row in enumerate(self.rows):
            if row.leader is not None:
                continue
            expected = row.cursor.expect()
            if isinstance(expected, Choice):
                choices.append((i, expected))
            elif isinstance(expected, SlotQuery):
                slots.setdefault(expected.kind, []).append(i)
        if choices:
            self._sample_words(choices)
        for kind in sorted(slots):
            self._sample_slots(kind, slots[kind])

    def _sample_words(self, choices: list[tuple[int, Choice]]) -> None:
        """One word a row, or all that were asked about at once.

        Of these, each is drawn under what those before it allow.
        """
        rows = [self.rows[i] for i, _ in choices]
        counts = torch.tensor([row.group for row in rows], device=self.device)
        at = torch.tensor([i for i, _ in choices], device=self.device).repeat_interleave(counts)
        firsts = counts.cumsum(0) - counts
        turns = torch.arange(len(at), device=self.device) - firsts.repeat_interleave(counts)
        # Scores and random numbers of all turns together; a turn depends on those before it by
        # what the grammar allows alone.
        logits = told = self.model.words(self.hidden[at, turns])
        beside = self._twins([i for i, _ in choices])
        if beside is not None:
            untold = self.model.words(self.hidden[beside.repeat_interleave(counts), turns])
            logits = untold + self.settings.guidance * (told - untold)
        u = uniform(self._keys(rows, counts, turns), 1)[:, 0]
        where = dict(zip((i for i, _ in choices), firsts.tolist(), strict=True))
        turn = 0
        while choices:
            now = torch.tensor([where[i] + turn for i, _ in choices], device=self.device)
            own = logits[now]
            self._draw(choices, own, own if beside is None else told[now], u[now])
            turn += 1
            again = [i for i, _ in choices if self.rows[i].group > turn]
            asked = [(i, self.rows[i].cursor.expect()) for i in again]
            choices = [(i, e) for i, e in asked if isinstance(e, Choice)]

    def _twins(self, indices: Sequence[int]) -> Tensor | None:
        """Where the twins of rows are, a row without one being its own; ``None``: no row has one.

        Logits and fields of a row that is its own twin stay what they are, whatever the guidance.
        """
        rows = [self.rows[i] for i in indices]
        if all(row.twin is None for row in rows):
            return None
        place = {id(row): i for i, row in enumerate(self.rows)}
        return torch.tensor([place[id(row.twin or row)] for row in rows], device=self.device)

    def _draw(
        self, choices: list[tuple[int, Choice]], logits: Tensor, told: Tensor, u: Tensor
    ) -> None:
        """One word of each row, from its (V,) logits and a random number.

        Log-probabilities are those of ``told``, the logits without guidance.
        """
        rows, settings = [self.rows[i] for i, _ in choices], self.settings
        allowed = torch.from_numpy(np.stack([c.mask for _, c in choices])).to(self.device)
        heat = self._temperature(rows)
        shifted = logits + self._offsets if settings.offsets else logits
        tokens, logp = self.model.words.draw(shifted, allowed, u, heat, settings.top_p)
        if told is not logits or settings.offsets:
            plain = told.masked_fill(~allowed, float("-inf")).log_softmax(-1)
            logp = plain.gather(1, tokens[:, None])[:, 0]
        taken = list(zip(tokens.tolist(), logp.tolist(), strict=True))
        if settings.trace or settings.threshold is not None:
            log_p = logits.masked_fill(~allowed, float("-inf")).log_softmax(-1).cpu().numpy()
            for i, (row, (_, choice)) in enumerate(zip(rows, choices, strict=True)):
                step = _step(choice, log_p[i], taken[i][0], settings.threshold)
                taken[i] = step.token, float(log_p[i, step.token])
                if settings.trace:
                    row.steps.append(step)
        for row, (token, value) in zip(rows, taken, strict=True):
            row.logp += value
            row.push_token(token)

    def _temperature(self, rows: Sequence[_Row]) -> float | Tensor:
        """Of the words that are drawn next; one for all, or (B,)."""
        usual = self.settings.temperature
        if not self._temperatures:
            return usual
        labels = [row.cursor.writer.labels[row.cursor.known :] for row in rows]
        heats = [self._temperatures.get(own[0], usual) if own else usual for own in labels]
        return torch.tensor(heats, dtype=torch.float64, device=self.device)

    def _sample_slots(self, kind: int, indices: list[int]) -> None:
        assert self.after is not None
        at = torch.tensor(indices, device=self.device)
        rows = [self.rows[i] for i in indices]
        after, hidden = _pick(self.after, at), self.hidden[at, 0]
        keys = self._keys(rows)
        beside, guide = self._twins(indices), None
        if beside is not None:
            told = _pick(self.after, beside)
            without = self.model.condition(self.hidden[beside, 0], told)
            guide = Guide(without, self.settings.guidance)
        payload = self.model.sample_payload(kind, hidden, after, keys, self.settings.payload, guide)
        if self.settings.score:
            head = self.model.head(kind)
            target = self.model.target(kind, payload, after)
            density = head.log_prob(self.model.condition(hidden, after), target)
            for row, value in zip(rows, [] if density is None else density.tolist(), strict=True):
                row.logp += value
        for row, value in zip(rows, payload.cpu().numpy(), strict=True):
            row.push_value(value)

    # -- bookkeeping -----------------------------------------------------------------------------

    def _retire(self) -> Iterator[Drawn]:
        """Hand out finished rows and close the gaps they leave."""
        done: set[int] = set()
        for row in self.rows:
            if row.leader is not None:
                continue
            end = row.cursor.expect()
            if isinstance(end, End):
                made = row.cursor.sequence()
                yield Drawn(row.job, made, end.failure, row.logp, tuple(row.steps))
                done.add(id(row))
            elif len(row.cursor) > self.settings.max_tokens:
                why = f"longer than {self.settings.max_tokens} tokens"
                yield Drawn(row.job, row.cursor.sequence(), why, row.logp)
                done.add(id(row))
        keep = [i for i, row in enumerate(self.rows) if id(row.leader or row) not in done]
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
            self.cache.move(origin, target)
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
        floor = None
        if self.settings.at_once:
            all_keys = torch.iinfo(torch.long).max
            told = [
                row.length if asks else all_keys
                for row, own in zip(rows, entries, strict=True)
                for _, asks, _ in own
            ]
            floor = torch.tensor(told, device=self.device)
        plan = StepPlan(begins, counts, self.device, floor)
        inputs = self._inputs(entries, plan.row)
        memories = cache.step(plan, torch.tensor(counts, device=self.device))
        hidden = self.model.decode(inputs, plan.position, memories)
        self.hidden, self.after = (
            self._states(hidden, plan.last, rows),
            _pick(inputs.next, plan.last),
        )


def _pick(after: Surroundings, at: Tensor) -> Surroundings:
    return Surroundings(**{name: value[at] for name, value in vars(after).items()})


_NO_IDS, _NO_CHANCES = np.zeros(0, dtype=np.int64), np.zeros(0)


def offsets_of(vocabulary: Vocabulary, offsets: Mapping[str, float]) -> Tensor:
    """(V,) offset of each symbol."""
    table = torch.zeros(len(vocabulary))
    for name, value in offsets.items():
        table[vocabulary.id(name)] = value
    return table


def _step(choice: Choice, log_p: np.ndarray, token: int, threshold: float | None) -> Step:
    """The decision about a word; members of a ranked list are taken by their chance."""
    decided, chances = _NO_IDS, _NO_CHANCES
    if choice.order is not None and threshold is not None:
        token, decided, chances = take_next(choice.order, log_p, threshold)
    ids = np.flatnonzero(choice.mask)
    return Step(token, ids, log_p[ids], decided, chances)
