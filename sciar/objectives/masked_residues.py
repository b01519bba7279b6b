"""Masked language modelling of proteins: hide residues, and ask the encoder for them.

Of all residues 15 % are chosen; 80 % of the chosen become ``<mask>``, 10 % another random residue,
10 % stay (Devlin et al., NAACL 2019; Rives et al., PNAS 118, e2016239118 (2021)). What happens to a
residue hangs on (sequence, salt, position) only, not on the pack that it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.nn.streams import derive, uniform
from sciar.tokenization.esm_alphabet import MASK, RESIDUE_IDS, STANDARD_IDS
from sciar.tokenization.residues import ResiduePack


@dataclass(frozen=True)
class Scores:
    """Sums over the chosen residues of a pack.

    Attributes:
        loss: cross-entropy in nats, with its gradient.
        count: chosen residues.
        right: of these, those whose most likely residue is the true one.
        background: cross-entropy of the background frequencies.
        frequent: of the chosen, those that are the most frequent residue of the background.
    """

    loss: Tensor
    count: Tensor
    right: Tensor
    background: Tensor
    frequent: Tensor


@dataclass(frozen=True)
class MaskedResidueObjective:
    """Which residues are hidden, and the loss of guessing them.

    Attributes:
        share: of the residues that are chosen; special tokens never are.
        masked: share of the chosen that become ``<mask>``.
        replaced: share of the chosen that become a random one of the 20 residues.
    """

    share: float = 0.15
    masked: float = 0.8
    replaced: float = 0.1

    def corrupt(self, pack: ResiduePack, salt: int) -> tuple[Tensor, Tensor]:
        """(T,) ids with residues hidden, and (T,) which were chosen."""
        starts = pack.lengths.cumsum(0) - pack.lengths
        place = torch.arange(len(pack), device=pack.ids.device)
        place = place - starts.repeat_interleave(pack.lengths)
        keys = derive(derive(pack.keys, salt).repeat_interleave(pack.lengths), place)
        chance, fate, other = uniform(keys, 3).unbind(1)
        residue = torch.isin(pack.ids, pack.ids.new_tensor(RESIDUE_IDS))
        chosen = residue & (chance < self.share)
        standard = pack.ids.new_tensor(STANDARD_IDS)
        random = standard[(other * len(standard)).long()]
        ids = torch.where(chosen & (fate < self.masked), MASK, pack.ids)
        swapped = chosen & (fate >= self.masked) & (fate < self.masked + self.replaced)
        return torch.where(swapped, random, ids), chosen

    def scores(self, model: MaskedLM, pack: ResiduePack, salt: int) -> Scores:
        """Sums of loss and hits over the residues chosen in a pack."""
        ids, chosen = self.corrupt(pack, salt)
        logits = model(ids, pack.lengths, chosen).float()
        truth = pack.ids[chosen]
        background = model.background.log()
        return Scores(
            loss=F.cross_entropy(logits, truth, reduction="sum"),
            count=torch.as_tensor(float(len(truth)), device=logits.device),
            right=(logits.detach().argmax(1) == truth).sum().float(),
            background=-background[truth].sum(),
            frequent=(truth == background.argmax()).sum().float(),
        )
