"""Input embedding: token table, payload encoders, slot identity, and the slot that comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sciar.nn.among import Among, distances
from sciar.nn.inputs import Inputs, Surroundings
from sciar.tokenization.vocabulary import SlotKind

HARMONICS = 6
"""Harmonics of the sin/cos features of a torus coordinate, and octaves of the others."""


@runtime_checkable
class SlotInput(Protocol):
    """What reads the payloads of one slot kind; a module of ``embedding.payload``.

    A module of its own (``model.inputs`` in a recipe) is made as ``cls(slot, hidden, **options)``.
    It may look at all inputs, as an encoder does that reads a run of slots at once. If it has
    ``options()``, these are what the model folder stores.
    """

    def at(self, inputs: Inputs, where: Tensor) -> Tensor:
        """(N, hidden) of the slots ``where`` among the inputs."""
        ...


class PayloadEncoder(nn.Module):
    """(N, width) payload of one slot kind -> (N, hidden).

    Torus coordinates enter as sines and cosines of several harmonics, so 0 and 1 are one point;
    other numbers are standardised and enter as they are, beside smooth octave features. Answers are
    never read, so theirs holds the statistics only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, slot: SlotKind, hidden: int) -> None:
        super().__init__()
        self.slot = slot
        self.register_buffer("mean", torch.tensor(slot.mean), persistent=False)
        self.register_buffer("std", torch.tensor(slot.std), persistent=False)
        if slot.role == "answer":
            return
        width = slot.width * (2 * HARMONICS + (slot.geometry != "torus"))
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden, bias=False)
        )

    def forward(self, value: Tensor) -> Tensor:
        return self.net(
            features(value[:, : self.slot.width], self.slot.geometry, self.mean, self.std)
        )

    def at(self, inputs: Inputs, where: Tensor) -> Tensor:
        """(N, hidden) of the slots ``where`` among the inputs."""
        return self(inputs.value[where])


def features(value: Tensor, geometry: str, mean: Tensor, std: Tensor) -> Tensor:
    """Fourier features of (N, width) payloads, in fp32."""
    value = value.float()
    if geometry == "torus":
        scale = 2 * math.pi * torch.arange(1, HARMONICS + 1, device=value.device)
        angle = (value[..., None] * scale).flatten(-2)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)
    standard = (value - (0.0 if geometry == "local" else mean)) / std
    scale = 0.25 * math.pi * 2.0 ** torch.arange(HARMONICS, device=value.device)
    angle = (standard[..., None] * scale).flatten(-2)
    return torch.cat([standard, angle.sin(), angle.cos()], dim=-1)


class ReferenceEncoder(nn.Module):
    """The points that the next slot refers to, as it sees them -> (M, hidden)."""

    def __init__(
        self,
        n_labels: int,
        hidden: int,
        relations: int,
        width: int = 64,
        homes: bool = False,
        rounds: int = 0,
    ) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(Among(width, 1 + 2 * HARMONICS) for _ in range(rounds))
        self.more = nn.Linear(width, hidden, bias=False) if rounds else None
        self.home = nn.Linear(4 + 2 * HARMONICS, hidden, bias=False) if homes else None
        self.point = nn.Linear(4 + 2 * HARMONICS, width)
        self.label = nn.Embedding(n_labels + 1, width)
        self.relation = nn.Embedding(relations, width)
        self.mix = nn.Linear(width, width)
        self.out = nn.Linear(width, hidden, bias=False)

    def forward(self, near: Surroundings) -> Tensor:
        x = (
            self.point(self._features(near.points))
            + self.label(near.of + 1)
            + self.relation(near.relation)
        )
        x = self.mix(nn.functional.silu(x))
        x = nn.functional.silu(x) * near.valid[..., None]
        seen = self.out(x.sum(dim=1))
        if self.home is not None:
            seen = seen + self.home(self._features(near.home))
        return seen if self.more is None else self._deeper(seen, x, near)

    def begin(self) -> None:
        """Rounds of attention begin as nothing, so that a trained model can be given some."""
        for layer in self.rounds:
            assert isinstance(layer, Among)
            nn.init.xavier_uniform_(layer.qkv.weight)
            nn.init.xavier_uniform_(layer.up.weight)
        if self.more is not None:
            nn.init.zeros_(self.more.weight)

    def _deeper(self, seen: Tensor, x: Tensor, near: Surroundings) -> Tensor:
        """What attention among the references of slots adds; of words the sum says enough."""
        assert self.more is not None
        at = (near.kind > 0).nonzero().squeeze(1)
        if not len(at):
            return seen
        x, valid = x[at], near.valid[at]
        apart = self._waves(distances(near.points[at]))
        for layer in self.rounds:
            x = layer(x, apart, valid)
        more = self.more((x * valid[..., None]).sum(1))
        return seen.index_add(0, at, more.to(seen.dtype))

    @staticmethod
    def _features(points: Tensor) -> Tensor:
        """(..., 3) points, their distances, and waves of these."""
        waves = ReferenceEncoder._waves(points.norm(dim=-1, keepdim=True))
        return torch.cat([points, waves], dim=-1)

    @staticmethod
    def _waves(distance: Tensor) -> Tensor:
        """(..., 1) distances and waves of them."""
        angle = distance * (0.5 * 2.0 ** torch.arange(HARMONICS, device=distance.device))
        return torch.cat([distance, angle.sin(), angle.cos()], dim=-1)


class PlaceEncoder(nn.Module):
    """Where a token stands and where the next one will: twice (M, D) points -> (M, hidden).

    Waves of length 1, 2, 4, .. units beside the numbers themselves. The rotary embedding tells
    vectors between tokens; this also tells where in the whole they are.
    """

    def __init__(self, axes: int, hidden: int, octaves: int = 8, unit: float = 1.0) -> None:
        super().__init__()
        self.octaves, self.unit = octaves, unit
        self.out = nn.Linear(2 * axes * (1 + 2 * octaves), hidden, bias=False)

    def forward(self, inputs: Inputs) -> Tensor:
        points = torch.cat([inputs.position, inputs.next.place], dim=-1).float() / self.unit
        scale = 2 * math.pi * 0.5 ** torch.arange(self.octaves, device=points.device)
        angle = (points[..., None] * scale).flatten(-2)
        return self.out(torch.cat([0.1 * points, angle.sin(), angle.cos()], dim=-1))


class InputEmbedding(nn.Module):
    """Inputs of M positions -> (M, hidden).

    Args:
        n_tokens: size of the vocabulary.
        slots: slot kinds.
        hidden: width of the decoder.
        max_anchors: anchors that are told apart; later ones share the last.
        references: references a slot may name.
        identity: whether slots know what they describe and positions know the next slot. Off, a
            slot is its payload alone, as in UniGenX.
        questions: whether some positions are questions, which need a vector of their own.
        relations: codes that a relation to a reference may have.
        axes: numbers in the place of a token, if places are embedded; else 0.
        unit: shortest wavelength of that embedding.
        width: of the network that sees one reference at a time.
        rounds: of attention among the references of a slot.
    """

    def __init__(
        self,
        n_tokens: int,
        slots: Sequence[SlotKind],
        hidden: int,
        max_anchors: int = 64,
        references: int = 0,
        identity: bool = True,
        questions: bool = False,
        relations: int = 16,
        axes: int = 0,
        unit: float = 1.0,
        width: int = 64,
        rounds: int = 0,
    ) -> None:
        super().__init__()
        self.question = nn.Parameter(0.02 * torch.randn(hidden)) if questions else None
        self.token = nn.Embedding(n_tokens, hidden)
        self.payload = nn.ModuleList(PayloadEncoder(s, hidden) for s in slots)
        self.unread = [slot.role == "answer" for slot in slots]
        self.identity, self.max_anchors = identity, max_anchors
        if identity:
            self.label = nn.Embedding(n_tokens + 1, hidden)
            self.anchor = nn.Embedding(max_anchors + 1, hidden)
            self.next_kind = nn.Embedding(len(slots) + 1, hidden)
            self.next_label = nn.Embedding(n_tokens + 1, hidden)
            self.next_anchor = nn.Embedding(max_anchors + 1, hidden)
        homes = axes > 0 and any(slot.geometry == "local" for slot in slots)
        self.reference = (
            ReferenceEncoder(n_tokens, hidden, relations, width, homes, rounds)
            if references
            else None
        )
        self.place = PlaceEncoder(axes, hidden, unit=unit) if axes else None

    def forward(self, inputs: Inputs) -> Tensor:
        x = self.token(inputs.id.clamp_min(0))
        if self.question is not None:
            x = torch.where((inputs.id < 0)[:, None], self.question.to(x.dtype), x)
        for i, encoder in enumerate(self.payload):
            if self.unread[i]:
                continue
            where = (inputs.kind == i + 1).nonzero().squeeze(1)
            if len(where):
                assert isinstance(encoder, SlotInput)
                encoded = encoder.at(inputs, where).to(x.dtype)
                x = (
                    x.index_add(0, where, encoded)
                    if self.identity
                    else x.index_copy(0, where, encoded)
                )
        if self.identity:
            after = inputs.next
            x = x + self.label(inputs.label + 1) + self.anchor(self._anchor(inputs.anchor))
            x = x + self.next_kind(after.kind) + self.query(after)
        if self.reference is not None:
            x = x + self.reference(inputs.next).to(x.dtype)
        if self.place is not None:
            x = x + self.place(inputs).to(x.dtype)
        return x

    def encoder(self, kind: int) -> PayloadEncoder:
        """The encoder of a slot kind, by its number from 1."""
        encoder = self.payload[kind - 1]
        assert isinstance(encoder, PayloadEncoder)
        return encoder

    def query(self, after: Surroundings) -> Tensor:
        """(M, hidden) identity of the next slot; also joins the condition of its head."""
        return self.next_label(after.label + 1) + self.next_anchor(self._anchor(after.anchor))

    def _anchor(self, anchor: Tensor) -> Tensor:
        return (anchor + 1).clamp_max(self.max_anchors)
