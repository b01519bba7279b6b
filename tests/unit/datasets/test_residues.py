"""Relatives are told from strangers; nothing that is tested, or close to it, is trained on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.batching import PackedLoader
from sciar.datasets.homologues import Homologues, kmers
from sciar.datasets.protein_sets import PROTEIN_SETS, protein_set, read_split
from sciar.datasets.residue_data import ResidueData
from sciar.datasets.residues import ResidueCorpus, gather
from sciar.errors import UsageError
from sciar.records import Protein
from sciar.tokenization.esm_alphabet import encoder_ids

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def invented(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list(LETTERS), length))


def mutated(rng: np.random.Generator, sequence: str, identity: float) -> str:
    """Some positions replaced by another letter, so that a share of them stays."""
    kept = rng.permutation(len(sequence)) < round(identity * len(sequence))
    others = ["".join(set(LETTERS) - {a}) for a in sequence]
    return "".join(
        a if k else o[rng.integers(19)] for a, k, o in zip(sequence, kept, others, strict=True)
    )


@given(st.text("ACDX", max_size=12), st.integers(2, 4))
def test_words_agree_with_the_definition(sequence: str, k: int) -> None:
    words = {sequence[i : i + k] for i in range(len(sequence) - k + 1)}
    kept = {w for w in words if "X" not in w and len(set(w)) >= 3}
    codes = kmers(sequence, k)
    assert len(codes) == len(kept) and (np.diff(codes) > 0).all()
    assert set(codes.tolist()) == {
        sum(LETTERS.index(a) * 20**p for p, a in enumerate(reversed(w))) for w in kept
    }


@given(
    st.lists(st.text("ACDE", min_size=1, max_size=30), min_size=1, max_size=6),
    st.text("ACDE", max_size=30),
)
def test_the_closest_reference_is_the_closest(references: list[str], sequence: str) -> None:
    own = set(kmers(sequence, 3).tolist())
    shares = []
    for reference in references:
        theirs = set(kmers(reference, 3).tolist())
        shares.append(len(own & theirs) / max(1, min(len(own), len(theirs))))
    found = Homologues(references, k=3).closest(sequence)
    assert (found.containment if found else 0.0) == pytest.approx(max(shares))


def test_relatives_are_found_and_strangers_are_not() -> None:
    rng = np.random.default_rng(0)
    references = [invented(rng, int(n)) for n in rng.integers(80, 600, 400)]
    index = Homologues(references)
    close = [mutated(rng, s, 0.85) for s in references[:100]]
    assert all(s in index for s in close)
    assert sum(mutated(rng, s, 0.7) in index for s in references[:100]) > 90
    assert all(index.closest(s).reference == i for i, s in enumerate(close))
    fragments = [s[len(s) // 4 : len(s) // 4 + 60] for s in references[:100]]
    assert all(s in index for s in fragments)
    strangers = [invented(rng, int(n)) for n in rng.integers(80, 600, 400)]
    assert sum(s in index for s in strangers) <= 2
    tagged = "MGSSHHHHHHSSG" + strangers[0]
    assert tagged not in Homologues(["HHHHHHHHHHHH" + s for s in strangers[1:20]])


def test_a_reference_itself_is_always_found() -> None:
    index = Homologues(["AAAA", "MKV"])
    assert "AAAA" in index and "MKV" in index and "MK" not in index
    for k, threshold in ((1, 0.1), (5, 0.0)):
        with pytest.raises(UsageError, match="homologues"):
            Homologues([], k, threshold)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one set of each kind that ``gather`` treats differently."""
    rng = np.random.default_rng(3)
    family = invented(rng, 150)
    rows = [
        *({"id": f"t{i}", "sequence": invented(rng, 120), "split": "train"} for i in range(60)),
        {"id": "near", "sequence": mutated(rng, family, 0.8), "split": "train"},
        {"id": "same", "sequence": family, "split": "val"},
        {"id": "held", "sequence": family, "split": "test"},
        {"id": "hard", "sequence": invented(rng, 90), "split": "hard"},
    ]
    wild = invented(rng, 100)
    rows.append({"id": "gfp", "sequence": mutated(rng, wild, 0.85), "split": "train"})
    for name in ("deeploc", "dms_avgfp"):
        (tmp_path / "proteins" / name).mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "proteins/deeploc/records.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "proteins/dms_avgfp/avgfp.csv.gz").write_bytes(gzip.compress(b"variant,score\n"))
    (tmp_path / "proteins/dms_avgfp/meta.json").write_text(
        json.dumps({"wild_type": wild, "offset": 0})
    )
    monkeypatch.setenv("SCIAR_DATA", str(tmp_path))
    return tmp_path


def test_nothing_near_a_tested_sequence_is_trained_on(shared: Path) -> None:
    found = gather(["deeploc", "dms_avgfp"])
    counts = found.counts
    assert len(found.test) == 3 and counts["related to test"] == 2
    assert (counts["read"], counts["parents of variants"]) == (65, 1)
    assert counts["train"] + counts["val"] + counts["related to val"] == 60
    assert len(found.val) == 3
    index = Homologues(found.test + found.val)
    assert found.train and not any(s in index for s in found.train)
    # The set that is not named is not held out.
    assert gather(["deeploc"]).counts["related to test"] == 1
    assert gather(["deeploc", "dms_avgfp"]).val == found.val


def test_a_file_is_all_for_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "own.fasta"
    records = "".join(f">{i}\n{invented(rng, 80)}\n" for i in range(30))
    path.write_text(records + ">bad\nM1K\n")
    found = gather([str(path)])
    assert found.counts["unreadable"] == 1 and not found.test
    assert len(found.train) + len(found.val) + found.counts["related to val"] == 30
    with pytest.raises(UsageError, match="unknown set"):
        gather(["no-such-set"])


def test_packs_hold_the_tokens_of_their_proteins() -> None:
    sequences = ["MKV", "ACDEFGHIKLMNPQRSTVWYBXUZO", "L"]
    corpus = ResidueCorpus(sequences, crop=30)
    pack = corpus.pack(np.array([1, 2]))
    pieces = pack.ids.split(pack.lengths.tolist())
    for piece, record in zip(pieces, (1, 2), strict=True):
        assert piece.tolist() == encoder_ids(Protein(sequences[record])).tolist()
    assert pack.keys.tolist() == [1, 2] and sum(corpus.background()) == pytest.approx(1.0)


def test_crops_move_from_pass_to_pass_and_repeat() -> None:
    rng = np.random.default_rng(0)
    sequence = invented(rng, 100)
    corpus = ResidueCorpus([sequence, "MKV"], crop=20, seed=7)
    assert corpus.lengths().tolist() == [22, 5]
    seen = set()
    for copy in range(40):
        ids = corpus.pack(np.array([0]), copy).ids
        assert torch.equal(ids, ResidueCorpus([sequence], 20, 7).pack(np.array([0]), copy).ids)
        seen.add(tuple(ids.tolist()))
    assert len(seen) > 20
    whole = encoder_ids(Protein(sequence)).tolist()[1:-1]
    windows = {tuple(whole[i : i + 20]) for i in range(81)}
    assert {s[1:-1] for s in seen} <= windows


def test_loaders_go_on_where_they_stopped() -> None:
    rng = np.random.default_rng(1)
    corpus = ResidueCorpus([invented(rng, int(n)) for n in rng.integers(5, 90, 50)], crop=40)
    whole = PackedLoader(corpus, 300, seed=2)
    straight = [pack for _ in range(3) for pack in whole]
    loader = PackedLoader(corpus, 300, seed=2)
    first = [next(iter(loader)) for _ in range(4)]
    resumed = PackedLoader(corpus, 300, seed=2)
    resumed.load_state_dict(loader.state_dict())
    rest = [next(iter(resumed)) for _ in range(5)]
    for a, b in zip(first + rest, straight, strict=False):
        assert torch.equal(a.ids, b.ids)


def test_the_sample_ships() -> None:
    data = ResidueData(["sample_proteins"], batch_tokens=500, crop=50, val_sequences=4)
    assert data.counts["read"] == 96 and data.counts["test"] == 16
    assert sum(data.background) == pytest.approx(1.0)
    batch = next(iter(data.train_dataloader()))
    assert len(batch) <= 500 and int(batch.lengths.max()) <= 52
    assert len(read_split("sample_proteins", "val")) == 16
    with pytest.raises(UsageError, match="found: test, train, val"):
        read_split("sample_proteins", "hard")
    with pytest.raises(UsageError, match="sample_proteins"):
        protein_set("nothing")


def test_records_that_are_no_protein_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans of mutations hold variants with a stop codon inside."""
    folder = tmp_path / "proteins" / "dms_avgfp"
    folder.mkdir(parents=True)
    rows = [
        "variant,num_mutations,score,split",
        "K2R,1,1.5,test",
        "K2*,1,0.1,test",
        "A3G,1,2,train",
    ]
    with gzip.open(folder / "avgfp.csv.gz", "wt") as file:
        file.write("\n".join(rows) + "\n")
    (folder / "meta.json").write_text(json.dumps({"wild_type": "MKAL", "offset": 1}))
    monkeypatch.setenv("SCIAR_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match=r"dms_avgfp: 1 records skipped; .*stop codon"):
        (found,) = read_split("dms_avgfp", "test")
    assert found.protein.sequence == "MRAL" and float(found.labels["score"]) == 1.5


@pytest.mark.shared
def test_shared_sets_can_be_read(shared_data: Path) -> None:
    """The smallest of them, and where the others say they are."""
    for entry in PROTEIN_SETS.values():
        if not entry.name.startswith("sample_"):
            assert (shared_data / "proteins" / entry.file).is_file()
    assert len(read_split("flip_bind", "val")) == 106
    assert len(read_split("flip_bind", "test")) == 241
