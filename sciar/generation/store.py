"""Positions of all rows in the making, as flat tensors that the embedding reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciar.tokenization.cursor import Cursor
from sciar.tokenization.layout import SlotSpec

_COLUMNS = ("ids", "kinds", "labels", "anchors")
_LOCATIONS = ("positions", "places")


class RowStore:
    """(B * L) positions; row ``r`` begins at ``r * L``. A store in the sense of ``nn.inputs``.

    Args:
        rows: B.
        length: L.
        width: widest payload.
        references: references a slot may name.
        device: where the tensors lie.
        axes: numbers in the place of a token.
    """

    def __init__(
        self,
        rows: int,
        length: int,
        width: int,
        references: int,
        device: torch.device,
        axes: int = 0,
    ) -> None:
        self.rows, self.length, self.device = rows, length, device
        flat = rows * length
        self.ids = torch.zeros(flat, dtype=torch.long, device=device)
        self.kinds = torch.zeros(flat, dtype=torch.long, device=device)
        self.labels = torch.full((flat,), -1, device=device)
        self.anchors = torch.full((flat,), -1, device=device)
        self.values = torch.zeros(flat, width, device=device)
        self.references = torch.full((flat, references), -1, device=device)
        self.relations = torch.zeros(flat, references, dtype=torch.long, device=device)
        self.positions = torch.zeros(flat, axes, device=device)
        self.places = torch.zeros(flat, axes, device=device)

    def append(self, rows: Sequence[int], cursors: Sequence[Cursor], since: Sequence[int]) -> None:
        """Copy what each cursor's writer holds from position ``since`` on."""
        at: list[int] = []
        columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        values: list[np.ndarray] = []
        references: list[tuple[int, ...]] = []
        relations: list[tuple[int, ...]] = []
        bases: list[int] = []
        locations: dict[str, list[tuple[float, ...]]] = {name: [] for name in _LOCATIONS}
        for row, cursor, start in zip(rows, cursors, since, strict=True):
            writer, base = cursor.writer, row * self.length
            at += range(base + start, base + len(writer.ids))
            for name in _COLUMNS:
                columns[name] += getattr(writer, name)[start:]
            values += _tail(writer.values, len(writer.ids) - start)
            if self.references.shape[1]:
                references += writer.references[start:]
                relations += writer.relations[start:]
                bases += [base] * (len(writer.ids) - start)
            if self.positions.shape[1]:
                for name in _LOCATIONS:
                    locations[name] += getattr(writer, name)[start:]
        if not at:
            return
        where = torch.tensor(at, device=self.device)
        for name in _COLUMNS:
            getattr(self, name)[where] = torch.tensor(columns[name], device=self.device)
        self.values[where] = torch.from_numpy(np.concatenate(values)).to(self.device)
        if references:
            inside, base_of = np.array(references), np.array(bases)[:, None]
            flat = np.where(inside >= 0, inside + base_of, -1)
            self.references[where] = torch.from_numpy(flat).to(self.device)
            codes = np.array(relations, dtype=np.int64)
            self.relations[where] = torch.from_numpy(codes).to(self.device)
        for name, rows_of in locations.items():
            if rows_of:
                points = np.array(rows_of, dtype=np.float32)
                getattr(self, name)[where] = torch.from_numpy(points).to(self.device)

    def blank(self, where: Sequence[tuple[int, int]]) -> None:
        """Make some positions, given as row and place in it, plain tokens."""
        at = torch.tensor([row * self.length + place for row, place in where], device=self.device)
        self.kinds[at] = 0

    def announce(
        self, coming: Sequence[tuple[int, int, Sequence[SlotSpec]]], label: Callable[[str], int]
    ) -> None:
        """Write down what is announced of words that are not yet known.

        Args:
            coming: rows, places from which on, and the words there.
            label: id of a label.
        """
        if not coming:
            return
        where = [row * self.length + place + i for row, place, s in coming for i in range(len(s))]
        specs = [spec for _, _, some in coming for spec in some]
        at = torch.tensor(where, device=self.device)
        self.kinds[at] = 0
        self.references[at] = self._announced(coming)
        self.relations[at] = 0
        self.labels[at] = torch.tensor([label(s.label) for s in specs], device=self.device)
        self.anchors[at] = torch.tensor([s.anchor for s in specs], device=self.device)
        self.places[at] = torch.tensor([s.place for s in specs], device=self.device)

    def _announced(self, coming: Sequence[tuple[int, int, Sequence[SlotSpec]]]) -> Tensor:
        """(N, R) references of announced words, whose own are positions in their rows."""
        n = self.references.shape[1]
        rows = [
            ([row * self.length + r for r in spec.references] + [-1] * n)[:n]
            for row, _, some in coming
            for spec in some
        ]
        return torch.tensor(rows, dtype=torch.long, device=self.device).view(-1, n)

    def grown(self, length: int) -> RowStore:
        """The same content with longer rows."""
        width, n_references = self.values.shape[1], self.references.shape[1]
        axes = self.positions.shape[1]
        bigger = RowStore(self.rows, length, width, n_references, self.device, axes)
        old = torch.arange(self.rows * self.length, device=self.device)
        row = old // self.length
        new = row * length + old % self.length
        for name in (*_COLUMNS, *_LOCATIONS, "values", "relations"):
            getattr(bigger, name)[new] = getattr(self, name)
        shift = (row * (length - self.length))[:, None]
        bigger.references[new] = torch.where(self.references >= 0, self.references + shift, -1)
        return bigger

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy some rows onto others."""
        inside = torch.arange(self.length, device=self.device)
        old = (source[:, None] * self.length + inside).flatten()
        new = (target[:, None] * self.length + inside).flatten()
        for name in (*_COLUMNS, *_LOCATIONS, "values", "relations"):
            column = getattr(self, name)
            column[new] = column[old]
        shift = ((target - source) * self.length).repeat_interleave(self.length)[:, None]
        references = self.references[old]
        self.references[new] = torch.where(references >= 0, references + shift, -1)


def _tail(blocks: list[np.ndarray], rows: int) -> list[np.ndarray]:
    """The last rows of a list of (n, W) blocks, walking back from the end."""
    out: list[np.ndarray] = []
    for block in reversed(blocks):
        if rows <= 0:
            break
        out.append(block[max(0, len(block) - rows) :])
        rows -= len(block)
    return out[::-1]
