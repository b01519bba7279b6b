"""Token caches: the same arrays from memory and from disk, and nothing stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import crystal_tokenizer, random_crystals

from sciar.datasets.tokens import TokenCache, cached, data_fingerprint
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record
from sciar.testing.tokenizers import assert_equal_sequences
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.packing import Pack, pack


def records(count: int = 12, seed: int = 0) -> list[Record]:
    return [Record(f"r{i}", c) for i, c in enumerate(random_crystals(count, seed))]


UNKNOWN = Record("bad", Crystal(3 * np.eye(3), ("Po",), np.zeros((1, 3))), source="file.cif")


def same(first: TokenCache, second: TokenCache) -> None:
    assert (first.ids, first.copies, first.skipped) == (second.ids, second.copies, second.skipped)
    for i in range(len(first)):
        for copy in range(first.copies):
            assert_equal_sequences(first.sequence(i, copy), second.sequence(i, copy))


@pytest.mark.parametrize("copies", [1, 3])
def test_disk_and_memory_agree(tmp_path: Path, copies: int) -> None:
    data = [*records(5), UNKNOWN, *records(4, seed=1)]
    in_memory = cached(data, crystal_tokenizer(), None, copies=copies)
    on_disk = cached(data, crystal_tokenizer(), tmp_path, copies=copies)
    same(in_memory, on_disk)
    assert isinstance(on_disk.arrays["values"], np.memmap)
    assert on_disk.skipped == [("bad", on_disk.skipped[0][1])]
    assert "file.cif" in on_disk.skipped[0][1]
    assert not list(tmp_path.glob(".making-*"))


def test_a_second_run_reads_what_the_first_wrote(tmp_path: Path) -> None:
    cached(records(), crystal_tokenizer(), tmp_path)
    (folder,) = tmp_path.iterdir()
    before = (folder / "meta.json").stat().st_mtime_ns
    cached(records(), crystal_tokenizer(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    assert (folder / "meta.json").stat().st_mtime_ns == before


def test_other_data_options_and_tokenizers_never_meet(tmp_path: Path) -> None:
    cached(records(), crystal_tokenizer(), tmp_path)
    cached(records(seed=1), crystal_tokenizer(), tmp_path)
    cached(records(), crystal_tokenizer("denovo"), tmp_path)
    cached(records(), crystal_tokenizer(), tmp_path, copies=2)
    cached(records(), crystal_tokenizer(), tmp_path, copies=2, seed=1)
    assert len(list(tmp_path.iterdir())) == 5


def test_an_interrupted_cache_is_made_again(tmp_path: Path) -> None:
    first = cached(records(), crystal_tokenizer(), tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "meta.json").unlink()
    same(cached(records(), crystal_tokenizer(), tmp_path), first)


def test_losing_the_race_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes the same cache while this one still encodes."""
    encode = CrystalTokenizer.encode
    done: list[TokenCache] = []

    def slow(self: CrystalTokenizer, *args: object, **kwargs: object) -> object:
        monkeypatch.setattr(CrystalTokenizer, "encode", encode)
        done.append(cached(records(), crystal_tokenizer(), tmp_path))
        return encode(self, *args, **kwargs)  # type: ignore[arg-type]

    tokenizer = crystal_tokenizer()
    monkeypatch.setattr(CrystalTokenizer, "encode", slow)
    same(cached(records(), tokenizer, tmp_path), done[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_record_that_fails_in_a_later_copy_leaves_nothing_behind(tmp_path: Path) -> None:
    class Fickle(CrystalTokenizer):
        """Fails on the second augmented encoding of single atoms."""

        calls = 0

        def encode(self, structure, *, augment=None):  # type: ignore[no-untyped-def]
            Fickle.calls += len(structure) == 1
            if len(structure) == 1 and Fickle.calls % 2 == 0:
                raise RecordError("no")
            return super().encode(structure, augment=augment)

    whole = [r for r in records(20) if len(r.structure) > 1]
    single = Record("single", Crystal(3 * np.eye(3), ("H",), np.zeros((1, 3))))
    base = crystal_tokenizer()
    for folder in (None, tmp_path):
        Fickle.calls = 0
        tokenizer = Fickle(max_atoms=8, cell="as-given", vocabulary=base.vocabulary)
        found = cached([whole[0], single, whole[1]], tokenizer, folder, copies=2)
        assert found.ids == [whole[0].id, whole[1].id]
        assert len(found.sequence(1)) == len(base.encode(whole[1].structure))


@pytest.mark.parametrize("on_disk", [False, True])
def test_nothing_usable_says_why(tmp_path: Path, on_disk: bool) -> None:
    with pytest.raises(UsageError, match=r"none of 1 records.*bad.*'Po'"):
        cached([UNKNOWN], crystal_tokenizer(), tmp_path if on_disk else None)
    assert not list(tmp_path.iterdir())


def test_a_pack_of_the_cache_is_a_pack_of_its_sequences() -> None:
    data = cached(records(), crystal_tokenizer(), None, copies=2)
    rows = np.array([7, 2, 11])
    found = data.pack(rows, copy=1)
    expected = pack([data.sequence(i, 1) for i in rows.tolist()], keys=rows.tolist())
    for name in Pack.__dataclass_fields__:
        assert (getattr(found, name) == getattr(expected, name)).all(), name


def test_fingerprint_sees_every_change() -> None:
    base = records(3)
    moved = Crystal(
        base[0].structure.lattice, base[0].structure.species, base[0].structure.frac + 1e-9
    )
    variants = [
        base,
        base[::-1],
        base[:2],
        [Record("other", base[0].structure), *base[1:]],
        [Record(base[0].id, moved), *base[1:]],
    ]
    assert len({data_fingerprint(v) for v in variants}) == len(variants)
