"""Residue slots as a decoder reads them: an encoder run over each protein of a batch.

A run of residue slots is one protein; where the label of the slots changes, its second chain
begins. The encoder sees whole proteins whatever pack or prompt they stand in, so what comes out
does not depend on packing, padding or order. Equal proteins of a batch are encoded once: several
questions about a protein cost one encoding.

Shapes: N residues of a batch, D width of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sciar.errors import RecordError, UsageError
from sciar.nn.encoders.composition import Composition, sums
from sciar.nn.encoders.esm2 import Esm2, Esm2Config, embed_all
from sciar.nn.encoders.esm2_weights import find_encoder, load_esm2
from sciar.nn.encoders.local import LocalLayers
from sciar.nn.encoders.lora import add_lora
from sciar.nn.encoders.store import EmbeddingStore
from sciar.nn.inputs import Inputs
from sciar.records import Protein
from sciar.tokenization.esm_alphabet import CLS, EOS, MASK, residue_ids
from sciar.tokenization.vocabulary import SlotKind

TRAIN = ("frozen", "last", "lora", "all")
BUDGET = 16_384
"""Most tokens that the encoder takes at once, padding included."""


class ResidueEncoder(nn.Module):
    """Input module of residue slots: the encoder's vectors, projected, and the letter itself.

    Convolutions along the chain may follow (``local``), and what a chain is made of
    (``composition``).

    Args:
        slot: the slot kind; its payload is the id of the residue.
        hidden: width of the decoder.
        weights: folder, file or name of a pretrained encoder, whose sizes then hold.
        layers: blocks of an encoder that is made anew, 0 for none beside the embedding; likewise
            ``width``, ``heads`` and ``feed_forward`` (0: four times the width).
        train: ``frozen``, ``last`` (some blocks and the final norm), ``lora`` (adapters of low rank
            beside every linear layer) or ``all``.
        blocks: how many blocks ``last`` trains.
        rank: of the adapters; their scale is ``alpha / rank``.
        alpha: of the adapters.
        dropout: of the adapters' input, in training.
        window: longest chain that the encoder reads at once. A longer one is read in windows that
            overlap by half, and each residue takes its vector from where it stands most centrally.
        local: kernels of convolutions along each chain, after the encoder and over its windows.
        composition: give each residue the shares, in its chain, of letters (1), of neighbours (2)
            and of runs of three (3), and the chain's length, for answers about whole proteins that
            few labels teach. 0: nothing of it.
        sites: for variants of one protein: in so many first residues, a letter has a vector of its
            own at each number, so that what a mutation adds need not be found out. 0: nowhere.
        reference: for variants of one protein: its own residues, ``sites`` of them. Only residues
            that differ have such a vector then, and their sum goes to each residue of the chain:
            effects of mutations add up, and a few among hundreds of residues are hard to find.
        cache: folder for the vectors of what is not trained (``frozen`` and ``last``), so that a
            protein is read once; sequences with hidden residues are not kept. Not stored with the
            model.

    Raises:
        UsageError: impossible sizes or options.
        ModelError: ``weights`` names no encoder.
    """

    def __init__(
        self,
        slot: SlotKind,
        hidden: int,
        *,
        weights: str = "",
        layers: int = 4,
        width: int = 128,
        heads: int = 4,
        feed_forward: int = 0,
        token_dropout: bool = True,
        train: Literal["frozen", "last", "lora", "all"] = "frozen",
        blocks: int = 0,
        rank: int = 8,
        alpha: float = 32.0,
        dropout: float = 0.05,
        window: int = 1022,
        local: Sequence[int] = (),
        composition: int = 0,
        sites: int = 0,
        reference: str = "",
        cache: str = "",
    ) -> None:
        super().__init__()
        self.reference_ids: Tensor
        if train not in TRAIN:
            raise UsageError(f"slot {slot.name}: train {train!r} is none of {', '.join(TRAIN)}")
        if (train == "last") != (blocks > 0) or window < 2:
            raise UsageError(
                f"slot {slot.name}: blocks goes with train: last, and a window has 2 residues or "
                f"more; got train {train!r}, blocks {blocks}, window {window}"
            )
        sizes = Esm2Config(
            layers, width, heads, feed_forward or 4 * width, token_dropout=token_dropout
        )
        self.encoder = load_esm2(find_encoder(weights)) if weights else Esm2(sizes)
        self.mode, self.blocks, self.window = train, blocks, window
        self.project = nn.Linear(self.encoder.config.width, hidden)
        self.letter = nn.Embedding(self.encoder.config.vocabulary, hidden)
        nn.init.normal_(self.letter.weight, std=0.02)
        # What comes out begins about as large as the embedding of the residue's number, so that
        # neither drowns the other: an encoder's last norm gives components of size 1.
        nn.init.normal_(self.project.weight, std=0.04 * self.encoder.config.width**-0.5)
        nn.init.zeros_(self.project.bias)
        self.local = LocalLayers(hidden, local) if local else None
        ids = self.encoder.config.vocabulary
        self.composition = Composition(ids, hidden, composition) if composition else None
        self.sites = sites
        if sites < 0:
            raise UsageError(f"slot {slot.name}: sites must not be negative, got {sites}")
        reference = _residues_of(reference, slot) if reference else ""
        if reference and len(reference) != sites:
            raise UsageError(
                f"slot {slot.name}: the reference has {len(reference)} residues, and sites is "
                f"{sites}; give as many sites"
            )
        self.reference = reference
        if reference:
            letters = torch.from_numpy(residue_ids(reference))
            self.register_buffer("reference_ids", letters, persistent=False)
        if sites:
            self.site = nn.Embedding(sites * self.encoder.config.vocabulary, hidden)
            nn.init.normal_(self.site.weight, std=0.02)
        self.adapters = {"rank": rank, "alpha": alpha, "dropout": dropout}
        if cache and train not in ("frozen", "last"):
            raise UsageError(
                f"slot {slot.name}: vectors of an encoder that is trained are not kept"
            )
        self.cache = cache
        self._store: EmbeddingStore | None = None
        if train == "lora":
            add_lora(self.encoder, rank, alpha, dropout)
        elif train != "all":
            self.encoder.requires_grad_(False)
        if train == "last":
            for block in (*self.encoder.layers[-blocks:], self.encoder.norm):
                block.requires_grad_(True)

    def options(self) -> dict[str, Any]:
        """Arguments that make the same module without pretrained weights; for the folder."""
        config = asdict(self.encoder.config)
        sizes = {
            n: config[n] for n in ("layers", "width", "heads", "feed_forward", "token_dropout")
        }
        how = {"train": self.mode, "blocks": self.blocks, **self.adapters}
        local = {"local": list(self.local.kernels)} if self.local is not None else {}
        sites: dict[str, Any] = {"sites": self.sites} if self.sites else {}
        sites |= {"reference": self.reference} if self.reference else {}
        whole = {"composition": len(self.composition.runs)} if self.composition is not None else {}
        return {**sizes, **how, "window": self.window, **local, **whole, **sites}

    def at(self, inputs: Inputs, where: Tensor) -> Tensor:
        """(N, hidden) of the residue slots ``where`` among the inputs."""
        ids = inputs.value[where, 0].round().long()
        labels = inputs.label[where]
        pieces, sources = self._pieces(ids, where, labels)
        vectors = torch.cat(self.encode(pieces))
        starts = torch.tensor([0, *(len(p) for p in pieces)], device=ids.device).cumsum(0)
        rows = torch.cat([starts[piece] + row for piece, row in sources])
        made = self.project(vectors[rows]) + self.letter(ids)
        chains = [b - a for runs in _proteins(where.cpu(), labels.cpu()) for a, b in runs]
        lengths = torch.tensor(chains, device=made.device)
        if self.sites:
            made = made + self._at_sites(ids, inputs.anchor[where], lengths)
        if self.local is not None:
            made = self.local(made, lengths)
        if self.composition is not None:
            made = made + self.composition(ids, lengths)
        return made

    def _at_sites(self, ids: Tensor, number: Tensor, lengths: Tensor) -> Tensor:
        """(N, hidden) of letters at their numbers; with a reference, their sum over the chain."""
        place = number.clamp_max(self.sites - 1)
        counted = number < self.sites
        if self.reference:
            counted &= ids != self.reference_ids[place]
        made = self.site(place * self.encoder.config.vocabulary + ids) * counted[:, None]
        return sums(made, lengths) if self.reference else made

    def encode(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """(N_i,) ids of each piece -> (N_i, D)."""
        if self.cache:
            kept = [i for i, piece in enumerate(pieces) if not (piece == MASK).any()]
            stored = self._from_store([pieces[i] for i in kept])
            found = dict(zip(kept, stored, strict=True))
            rest = [i for i in range(len(pieces)) if i not in found]
            fresh = self._compute([pieces[i] for i in rest])
            found |= dict(zip(rest, fresh, strict=True))
            return [found[i] for i in range(len(pieces))]
        return self._compute(pieces)

    def _compute(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        gradients = self.mode != "frozen" and torch.is_grad_enabled()
        return embed_all(self.encoder, pieces, BUDGET, gradients=gradients)

    def _from_store(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """From the store, made at first use, when all weights are in place."""
        depth = self.encoder.config.layers - self.blocks if self.mode == "last" else None
        if self._store is None:
            mode = self.training
            self._store = EmbeddingStore(self.cache, self.encoder, layers=depth, budget=BUDGET)
            self.encoder.train(mode)
        vectors = self._store.vectors(pieces)
        if depth is None or not vectors:
            return vectors
        lengths = torch.tensor([len(v) for v in vectors], device=vectors[0].device)
        flat = self.encoder.upper(torch.cat(vectors), lengths, self.blocks)
        return list(flat.split(lengths.tolist()))

    def _pieces(
        self, ids: Tensor, where: Tensor, labels: Tensor
    ) -> tuple[list[Tensor], list[tuple[int, Tensor]]]:
        """Different pieces to encode, and for each stretch of residues its piece and rows there."""
        pieces: list[Tensor] = []
        known: dict[bytes, int] = {}
        sources = []
        host = ids.cpu()
        for chains in _proteins(where.cpu(), labels.cpu()):
            for piece, rows in _windows([host[a:b] for a, b in chains], self.window):
                key = piece.numpy().tobytes()
                if key not in known:
                    known[key] = len(pieces)
                    pieces.append(piece.to(ids.device))
                sources.append((known[key], rows.to(ids.device)))
        return pieces, sources


def _residues_of(reference: str, slot: SlotKind) -> str:
    try:
        return Protein.from_text(reference).sequence
    except RecordError as error:
        raise UsageError(f"slot {slot.name}: reference: {error}") from error


def _proteins(where: Tensor, labels: Tensor) -> Iterator[list[tuple[int, int]]]:
    """The stretches of each protein's chains, as indices into ``where``."""
    new = torch.ones(len(where), dtype=torch.bool)
    new[1:] = where[1:] != where[:-1] + 1
    chain = new.clone()
    chain[1:] |= labels[1:] != labels[:-1]
    begins = chain.nonzero().squeeze(1).tolist()
    found: list[tuple[int, int]] = []
    for a, b in zip(begins, [*begins[1:], len(where)], strict=True):
        if new[a] and found:
            yield found
            found = []
        found.append((a, b))
    if found:
        yield found


def _windows(chains: list[Tensor], window: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens of each piece, and its rows that stand for the next residues of the protein."""
    if sum(map(len, chains)) <= window:
        # Chains of a pair are read together, with an end after each.
        tokens, rows, at = [torch.tensor([CLS])], [], 1
        for chain in chains:
            tokens += [chain, torch.tensor([EOS])]
            rows.append(torch.arange(at, at + len(chain)))
            at += len(chain) + 1
        yield torch.cat(tokens), torch.cat(rows)
        return
    for chain in chains:
        starts = window_starts(len(chain), window)
        taken = 0
        for i, start in enumerate(starts):
            # Up to the middle of what this window shares with the next one.
            last = i + 1 == len(starts)
            stop = len(chain) if last else (starts[i + 1] + start + window) // 2
            piece = chain[start : start + window]
            whole = torch.cat([torch.tensor([CLS]), piece, torch.tensor([EOS])])
            yield whole, torch.arange(taken - start + 1, stop - start + 1)
            taken = stop


def window_starts(length: int, window: int) -> list[int]:
    """Where windows begin that overlap by half or more and reach exactly to the end."""
    if length <= window:
        return [0]
    stride = max(1, window // 2)
    return [*range(0, length - window, stride), length - window]
