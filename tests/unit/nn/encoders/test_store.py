"""The store of embeddings: the same as recomputing, whatever was known before, and who asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import Esm2, Esm2Config, embed_all
from sciar.nn.encoders.store import EmbeddingStore, fingerprint


def make_encoder(seed: int = 0) -> Esm2:
    torch.manual_seed(seed)
    return Esm2(Esm2Config(layers=3, width=24, heads=3, feed_forward=40)).eval()


def sequences(count: int = 9) -> list[torch.Tensor]:
    rng = np.random.default_rng(1)
    return [torch.tensor([0, *rng.integers(4, 24, n), 2]) for n in rng.integers(1, 40, count)]


@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-5), ("float16", 4e-3)])
def test_equals_recomputing(precision: str, error: float, tmp_path: Path) -> None:
    encoder, asked = make_encoder(), sequences()
    expected = embed_all(encoder, asked)
    first = EmbeddingStore(tmp_path, encoder, precision=precision)
    fresh = first.vectors(asked)
    first.flush()
    second = EmbeddingStore(tmp_path, encoder, precision=precision)
    assert len(second) == len(asked)
    known = second.vectors(asked[::-1])[::-1]
    assert (first.misses, first.hits, second.misses, second.hits) == (9, 0, 0, 9)
    for a, b, c in zip(fresh, known, expected, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, atol=error, rtol=error)


def test_blocks_above_a_stored_one_give_the_same(tmp_path: Path) -> None:
    encoder, asked = make_encoder(), sequences(3)
    store = EmbeddingStore(tmp_path, encoder, layers=2, precision="float32")
    lengths = torch.tensor([len(s) for s in asked])
    found = encoder.upper(torch.cat(store.vectors(asked)), lengths, layers=1)
    torch.testing.assert_close(found, encoder.packed(torch.cat(asked), lengths))


def test_other_encoders_never_meet(tmp_path: Path) -> None:
    asked = sequences(2)
    for seed in (0, 1):
        store = EmbeddingStore(tmp_path, make_encoder(seed))
        store.vectors(asked)
        store.flush()
        assert store.misses == 2
    encoder = make_encoder()
    before = fingerprint(encoder.config, encoder)
    with torch.no_grad():
        encoder.layers[0].up.bias[3] += 1e-3
    assert fingerprint(encoder.config, encoder) != before
    assert EmbeddingStore(tmp_path, encoder).vectors(asked) and len(list(tmp_path.iterdir())) == 3
    assert len(EmbeddingStore(tmp_path, make_encoder(), layers=1)) == 0


def test_others_may_write_meanwhile(tmp_path: Path) -> None:
    asked = sequences(6)
    one, two = (EmbeddingStore(tmp_path, make_encoder()) for _ in range(2))
    one.vectors(asked[:3])
    one.flush()
    two.vectors(asked[2:])
    two.flush()
    one.refresh()
    assert len(one) == 6
    one.vectors(asked)
    assert one.misses == 3
    assert not list(one.folder.glob(".*"))


def test_repeated_sequences_are_encoded_once(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, make_encoder())
    a = sequences(1)[0]
    x, y = store.vectors([a, a.clone()])
    assert torch.equal(x, y) and store.misses == 1 and len(store) == 1


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float16"):
        EmbeddingStore(tmp_path, make_encoder(), precision="int8")
    with pytest.raises(UsageError, match="0 to 3"):
        EmbeddingStore(tmp_path, make_encoder(), layers=4)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be made"):
        EmbeddingStore(tmp_path / "file", make_encoder())
