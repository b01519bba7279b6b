"""Generation of an answer: what may follow, as the task's grammar says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciar.tokenization.answers.base import NUMBER
from sciar.tokenization.cursor import Choice, End, Expectation, Request, SlotQuery
from sciar.tokenization.layout import Writer
from sciar.tokenization.sequence import TokenSequence

if TYPE_CHECKING:
    from sciar.tokenization.protein import ProteinTokenizer


class AnswerCursor:
    """Walks the grammar of one question; an engine takes it as any cursor.

    What the grammar forces is appended without sampling, so that a question with one decision costs
    no more than reading its prompt.

    Args:
        tokenizer: of the model.
        request: its constraints hold the ``protein`` and the ``task``.
    """

    def __init__(self, tokenizer: ProteinTokenizer, request: Request) -> None:
        self.request, self.vocabulary = request, tokenizer.vocabulary
        self.task, protein = request.constraints["task"], request.constraints["protein"]
        prompt = tokenizer.prompt(protein, self.task, request.id or None)
        self.writer = writer_of(prompt, tokenizer)
        self.context = prompt.context
        self.grammar = self.task.grammar(self.vocabulary, protein, request.id or None)
        self.end = self.vocabulary.id("<eos>")
        self.start = len(prompt)
        self.failure = ""
        self.finished = self.open = False
        self._expected: Expectation = End()
        self._settle()

    def __len__(self) -> int:
        return len(self.writer.ids)

    @property
    def known(self) -> int:
        """Number of leading positions whose content is known."""
        return len(self.writer.ids) - self.open

    @property
    def names(self) -> tuple[str, ...]:
        """Tokens of the answer so far, without its end."""
        ids = self.writer.ids[self.start : self.known]
        return tuple(self.vocabulary.names[i] for i in ids if i != self.end)

    def expect(self) -> Expectation:
        """What to sample next."""
        return self._expected

    def push_token(self, token: int) -> None:
        """Append a sampled token, then everything that it forces."""
        self._append(token)
        self._settle()

    def push_value(self, value: np.ndarray) -> None:
        """Fill the slot with its payload."""
        self.writer.values[-1][0, : len(value)] = value
        self.open = False
        self._settle()

    def sequence(self) -> TokenSequence:
        """Everything so far, without a slot that is still to be filled."""
        return self.writer.finish(self.context).prefix(self.known)

    def _append(self, token: int) -> None:
        from sciar.tokenization.protein import place_of

        name = self.vocabulary.names[token]
        step = len(self.writer.ids) - self.start
        self.writer.tokens((name,), (), 0.0)
        if token == self.end:
            place = (0.0, step + 1.0)
            self.finished = True
        else:
            self.grammar.push(token)
            place = place_of(self.task, name, step)
        self.writer.positions[-1] = self.writer.places[-1] = place
        if name == NUMBER:
            self.writer.kinds[-1] = self.vocabulary.kind(NUMBER)
            self.open = True

    def _settle(self) -> None:
        """Append what is forced, up to the next decision."""
        while not self.finished:
            if self.open:
                self._expected = SlotQuery(self.vocabulary.kind(NUMBER))
                return
            mask, may_end = self.grammar.allowed()
            choices = np.flatnonzero(mask)
            if len(choices) + may_end > 1:
                if may_end:
                    mask = mask.copy()
                    mask[self.end] = True
                ranked = getattr(self.grammar, "ranked", None)
                self._expected = Choice(mask, None if ranked is None else ranked())
                return
            if not len(choices) and not may_end:
                self.failure = f"no token can follow in an answer of task {self.task.name}"
                self._expected = End(self.failure)
                return
            self._append(self.end if may_end else int(choices[0]))
        self._expected = End(self.failure)


def writer_of(prompt: TokenSequence, tokenizer: ProteinTokenizer) -> Writer:
    """A writer that holds the prompt."""
    writer = Writer(tokenizer.vocabulary, 0, tokenizer.layout.axes)
    writer.ids, writer.kinds = prompt.ids.tolist(), prompt.kinds.tolist()
    writer.weights, writer.labels = prompt.weights.tolist(), prompt.labels.tolist()
    writer.anchors, writer.values = prompt.anchors.tolist(), [prompt.values]
    writer.references = writer.relations = [()] * len(prompt)
    writer.relations = [()] * len(prompt)
    writer.positions = [tuple(row) for row in prompt.positions.tolist()]
    writer.places = list(writer.positions)
    return writer
