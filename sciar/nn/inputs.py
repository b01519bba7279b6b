"""What the decoder is told at each position: its own content, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sciar.nn.geometry import local_frames, placed_frames, to_local


class Store(Protocol):
    """Flat arrays of positions; a :class:`~sciar.tokenization.packing.Pack` is one."""

    @property
    def ids(self) -> Tensor: ...

    @property
    def kinds(self) -> Tensor: ...

    @property
    def values(self) -> Tensor: ...

    @property
    def labels(self) -> Tensor: ...

    @property
    def anchors(self) -> Tensor: ...

    @property
    def references(self) -> Tensor: ...

    @property
    def relations(self) -> Tensor: ...

    @property
    def positions(self) -> Tensor: ...

    @property
    def places(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is announced of a position: a slot and the points it refers to, seen from its frame.

    Where tokens have places, words are announced like slots.

    Attributes:
        label: (M,) label of the slot, -1 none.  anchor: (M,) likewise.
        kind: (M,) slot kind, 0 if it is no slot.
        origin: (M, 3) and axes: (M, 3, 3) of the local frame.
        points: (M, R, 3) references along these axes; from the origin or, where tokens have places,
            from the place.  valid: (M, R) bool.
        home: (M, 3) where they are seen from, in the local frame.
        relation: (M, R) codes.  of: (M, R) label or word of each reference, -1 none.
        place: (M, D) where it will be; where nothing is announced, the position looked from.
    """

    kind: Tensor
    label: Tensor
    anchor: Tensor
    origin: Tensor
    axes: Tensor
    points: Tensor
    home: Tensor
    valid: Tensor
    relation: Tensor
    of: Tensor
    place: Tensor


@dataclass(frozen=True, eq=False)
class Inputs:
    """Content and (M, D) place of M positions, and the surroundings of the position after each.

    A question has no content (``id`` is -1) and stands at the place of what it asks about, which is
    what comes next.
    """

    id: Tensor
    kind: Tensor
    value: Tensor
    label: Tensor
    anchor: Tensor
    position: Tensor
    next: Surroundings


def surroundings(
    store: Store, at: Tensor, exists: Tensor, local: Tensor | None = None
) -> Surroundings:
    """Surroundings of the positions ``at``; where ``exists`` is False, those of a plain token.

    Only a slot announces itself: what a coming word is must not be told before it is sampled. Where
    tokens have places, label, anchor and place of a word do not hang on its content, and are told.

    ``local``: (K,) kinds of slots that are seen from a frame of their own even there.
    """
    exists = exists & ((store.kinds[at] > 0) | (store.places.shape[1] > 0))
    none = torch.full_like(at, -1)
    reference = torch.where(exists[:, None], store.references[at], -1)
    valid = reference >= 0
    index = reference.clamp_min(0)
    points, origin, axes = _seen(store, at, index, valid)
    eye = origin
    if local is not None and store.places.shape[1] == 3:
        exact = valid & torch.isin(store.kinds[index], local)
        own = (torch.isin(store.kinds[at], local) & exists).nonzero().squeeze(1)
        nearest, turned = placed_frames(points[own], exact[own], eye[own])
        origin, axes = eye.index_copy(0, own, nearest), axes.index_copy(0, own, turned)
    return Surroundings(
        kind=torch.where(exists, store.kinds[at], 0),
        label=torch.where(exists, store.labels[at], none),
        anchor=torch.where(exists, store.anchors[at], none),
        origin=origin,
        axes=axes,
        points=torch.where(valid[..., None], to_local(points, eye, axes), 0.0),
        home=to_local(eye, origin, axes),
        valid=valid,
        relation=torch.where(valid, store.relations[at], 0),
        of=torch.where(valid, _named(store, index), -1),
        place=torch.where(exists[:, None], store.places[at], store.positions[at]),
    )


def _named(store: Store, index: Tensor) -> Tensor:
    """What stands at earlier positions: the label of a slot, a word itself."""
    return torch.where(store.kinds[index] > 0, store.labels[index], store.ids[index])


def _seen(store: Store, at: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(M, R, 3) referenced points, and the (M, 3) origin and (M, 3, 3) axes they are seen from.

    Where tokens have places in space, points are the positions of tokens, seen from the place that
    is announced; else they are payloads, seen from the frame that they make.
    """
    if store.places.shape[1] == 3:
        axes = torch.eye(3, device=at.device).expand(len(at), 3, 3)
        return store.positions[index].float(), store.places[at].float(), axes
    if valid.shape[1]:
        points = store.values[index][..., :3].float()
    else:
        points = store.values.new_zeros(len(at), 0, 3).float()
    return points, *local_frames(points, valid)


def inputs_at(
    store: Store,
    at: Tensor,
    has_next: Tensor,
    asks: Tensor | None = None,
    local: Tensor | None = None,
) -> Inputs:
    """Inputs of the flat positions ``at``.

    Args:
        store: where they are written down.
        at: (M,) positions.
        has_next: (M,) whether ``at + 1`` is known to exist.
        asks: (M,) whether each is a question about ``at``, not its content; ``None``: none is.
        local: see :func:`surroundings`.
    """
    after = torch.where(has_next, at + 1, at)
    if asks is None:
        return Inputs(
            id=store.ids[at],
            kind=store.kinds[at],
            value=store.values[at],
            label=store.labels[at],
            anchor=store.anchors[at],
            position=store.positions[at],
            next=surroundings(store, after, has_next, local),
        )
    none = torch.full_like(at, -1)
    wide = asks[:, None]
    return Inputs(
        id=torch.where(asks, none, store.ids[at]),
        kind=torch.where(asks, 0, store.kinds[at]),
        value=torch.where(wide, 0.0, store.values[at]),
        label=torch.where(asks, none, store.labels[at]),
        anchor=torch.where(asks, none, store.anchors[at]),
        position=torch.where(wide, store.places[at], store.positions[at]),
        next=surroundings(store, torch.where(asks, at, after), has_next | asks, local),
    )
