"""What is hidden and how often; it hangs on nothing but the sequence, the salt and the place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sciar.datasets.residues import ResidueCorpus
from sciar.nn.encoders.esm2 import Esm2Config
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.objectives.masked_residues import MaskedResidueObjective
from sciar.tokenization.esm_alphabet import CLS, EOS, MASK, STANDARD_IDS, TOKENS

CONFIG = Esm2Config(layers=1, width=16, heads=2, feed_forward=32)


def corpus(count: int, length: int, seed: int = 0) -> ResidueCorpus:
    rng = np.random.default_rng(seed)
    letters = list("ACDEFGHIKLMNPQRSTVWYX")
    sizes = rng.integers(1, length, count)
    return ResidueCorpus(["".join(rng.choice(letters, n)) for n in sizes], crop=length)


def test_shares_are_those_that_were_asked_for() -> None:
    pack = corpus(300, 400).pack(np.arange(300))
    ids, chosen = MaskedResidueObjective().corrupt(pack, salt=3)
    special = (pack.ids == CLS) | (pack.ids == EOS)
    residues = int((~special).sum())
    assert not chosen[special].any() and torch.equal(ids[~chosen], pack.ids[~chosen])

    def near(count: int, share: float, of: int) -> bool:
        return abs(count - share * of) < 5 * math.sqrt(share * (1 - share) * of)

    number = int(chosen.sum())
    assert near(number, 0.15, residues)
    masked = ids[chosen] == MASK
    assert near(int(masked.sum()), 0.8, number)
    rest, truth = ids[chosen][~masked], pack.ids[chosen][~masked]
    # a twentieth of the random residues is the true one
    assert near(int((rest != truth).sum()), 0.1 * (1 - 1 / 20), number)
    swapped = rest[rest != truth]
    counts = torch.bincount(swapped, minlength=len(TOKENS))
    assert set(counts.nonzero().squeeze(1).tolist()) == set(STANDARD_IDS)
    assert all(near(int(counts[i]), 1 / 20, len(swapped)) for i in STANDARD_IDS)


def test_hiding_hangs_on_sequence_salt_and_place_only() -> None:
    data, objective = corpus(6, 60), MaskedResidueObjective(share=0.5)
    together = data.pack(np.arange(6))
    ids, chosen = objective.corrupt(together, salt=1)
    parts = ids.split(together.lengths.tolist())
    for order in ([3], [5, 0, 3]):
        other = data.pack(np.array(order))
        found, _ = objective.corrupt(other, salt=1)
        for record, piece in zip(order, found.split(other.lengths.tolist()), strict=True):
            assert torch.equal(piece, parts[record])
    assert not torch.equal(objective.corrupt(together, salt=2)[1], chosen)


def test_the_first_loss_is_that_of_the_background() -> None:
    data = corpus(20, 80)
    torch.manual_seed(0)
    model = MaskedLM(CONFIG, data.background())
    with torch.no_grad():
        model.encoder.embed.weight.zero_()  # the head then says its bias only
    pack = data.pack(np.arange(20))
    scores = MaskedResidueObjective().scores(model, pack, salt=0)
    assert float(scores.count) > 50
    assert float(scores.loss.detach()) == pytest.approx(float(scores.background), rel=1e-4)
    assert float(scores.right) == float(scores.frequent)


def test_the_encoder_learns_a_rule() -> None:
    """Residues that alternate: what is hidden follows from the neighbours."""
    data = ResidueCorpus(["AL" * 15, "KE" * 15, "GS" * 15], crop=30)
    torch.manual_seed(0)
    model = MaskedLM(CONFIG, data.background())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    objective, pack = MaskedResidueObjective(), data.pack(np.arange(3))
    for step in range(120):
        scores = objective.scores(model, pack, salt=step)
        optimizer.zero_grad()
        (scores.loss / scores.count).backward()
        optimizer.step()
    with torch.no_grad():
        final = objective.scores(model, pack, salt=-1)
    assert float(final.loss / final.count) < 0.6 * float(final.background / final.count)
    assert float(final.right / final.count) > 0.7
