"""What an untrained model of octrees costs: guessing among all words, or those allowed.

Uni-3DAR has one head for occupancies and one for atoms; here all words share one table, and the
grammar says which may follow. So before training a word costs the logarithm of the size of the
vocabulary, and under the grammar a mask whose node has points to spare ln 255.
"""

from __future__ import annotations

import math

import pytest
import torch
from octrees import STREAMS, octree_config, octree_tokenizer, random_molecules
from tiny_models import encoded, tiny_model

from sciar.objectives.masked_next_token import MaskedNextTokenObjective
from sciar.objectives.next_token import NextTokenObjective
from sciar.tokenization.cursor import Choice


@pytest.mark.parametrize("stream", STREAMS)
def test_a_word_costs_the_logarithm_of_the_vocabulary(stream: str) -> None:
    tokenizer = octree_tokenizer()
    model = tiny_model(tokenizer, octree_config(stream), shake=0.0)
    asked = model.config.questions
    objective = MaskedNextTokenObjective() if asked else NextTokenObjective()
    batch = encoded(tokenizer, random_molecules(5))
    with torch.no_grad():
        total, weight = objective.losses(model, batch, 0)["word"]
    words = int(((batch.kinds == 0) & (batch.weights > 0)).sum())
    assert float(weight) == words > 50
    assert float(total) / words == pytest.approx(math.log(len(tokenizer.vocabulary)), rel=1e-5)


def test_a_mask_costs_ln_255_where_all_may_follow() -> None:
    """The root of nine points, and the constrained model over what its grammar allows."""
    tokenizer = octree_tokenizer()
    model = tiny_model(tokenizer, octree_config("one-stream"), shake=0.0)
    cursor = tokenizer.cursor(tokenizer.request({"composition": "C9"}))
    expected = cursor.expect()
    assert isinstance(expected, Choice)
    allowed = torch.from_numpy(expected.mask)[None]
    assert int(allowed.sum()) == 255
    chances = model.words.log_probs(torch.randn(1, model.config.decoder.hidden), allowed)
    torch.testing.assert_close(chances[allowed], torch.full((255,), -math.log(255.0)))
    tight = tokenizer.cursor(tokenizer.request({"composition": "C2"})).expect()
    assert isinstance(tight, Choice) and int(tight.mask.sum()) == 8 + 28  # one or two children
