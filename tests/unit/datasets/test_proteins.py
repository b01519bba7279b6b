"""Proteins from files: every record comes out, in order, as a record or as a failure."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciar.datasets.formats.protein_columns import Columns
from sciar.datasets.proteins import read_proteins
from sciar.datasets.readers import DuplicateIdWarning, RecordFailure
from sciar.errors import UsageError
from sciar.records import RESIDUES, Protein, ProteinRecord

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "proteins"


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def outline(path: Path, **options) -> list[tuple[str, str]]:
    """(id, sequence or the reason of the failure) of every record."""
    found = []
    for index, item in enumerate(read_proteins(path, **options)):
        assert item.index == index and item.source.startswith(str(path))
        if isinstance(item, ProteinRecord):
            found.append((item.id, ":".join(item.protein.chains)))
        else:
            assert f"record {item.id}" in str(item.error) and item.source in str(item.error)
            found.append((item.id, item.error.reason))
    return found


BAD_FASTA = (
    b"\xef\xbb\xbf>ok first protein\r\nMKV\r\nAG\r\n"
    b">lower\nmk\nv*\n"
    b"; a comment\n"
    b">old\rMKV\rAG\r"
    b">stop\nMK*V\n"
    b">digit\nMK1V\n"
    b">gap\nMK-V\n"
    b">empty\n>rare UOBZX and J\nUOBZXJ\n"
    b">bytes\nMK\xffV\n"
    b">na\xefme\nMKV\n"
    b">pair\nMKV:\nAG\n"
    b">three\nM:K:V\n"
    b">\nMKV\n"
    b">long\n" + b"A" * 40_000 + b"\n"
)


@pytest.mark.parametrize("name", ["bad.fasta", "bad.fa.gz", "bad"])
def test_a_bad_record_costs_one_row_and_no_other(tmp_path: Path, name: str) -> None:
    content = gzip.compress(BAD_FASTA) if name.endswith("gz") else BAD_FASTA
    found = outline(write(tmp_path / name, content))
    assert [(id, text[:40]) for id, text in found] == [
        ("ok", "MKVAG"),
        ("lower", "MKV"),
        ("old", "MKVAG"),
        ("stop", "character '*' at position 3 is a stop co"),
        ("digit", "character '1' at position 3 is no residu"),
        ("gap", "character '-' at position 3 is a gap; gi"),
        ("empty", "the sequence is empty"),
        ("rare", "UOBZXX"),
        ("bytes", "byte 0xff at offset 2 is not UTF-8; conv"),
        ("na\N{REPLACEMENT CHARACTER}me", "byte 0xef at offset 2 is not UTF-8; conv"),
        ("pair", "MKV:AG"),
        ("three", "3 chains; a record has one or two"),
        ("bad_12", "MKV"),
        ("long", "A" * 40),
    ]
    assert len(found[-1][1]) == 40_000


def test_failures_name_file_record_and_field(tmp_path: Path) -> None:
    path = write(tmp_path / "x.fasta", ">p1\nMK*V\n")
    (failure,) = read_proteins(path)
    assert isinstance(failure, RecordFailure)
    assert str(failure.error).startswith(f"file {path}, record p1, field sequence: character '*'")


def test_descriptions_are_kept(tmp_path: Path) -> None:
    (record,) = read_proteins(write(tmp_path / "x.fasta", ">p1 SET=train a b\nMKV\n"))
    assert isinstance(record, ProteinRecord)
    assert record.labels == {"description": "SET=train a b"}


def test_text_before_the_first_header_is_one_failure(tmp_path: Path) -> None:
    found = outline(write(tmp_path / "x.fasta", "MKV\nAG\n>p1\nMKV\n"))
    assert found == [
        ("x_0", "there is text before the first header line '>'"),
        ("p1", "MKV"),
    ]


def test_repeated_ids_get_a_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "x.fasta", ">a\nMKV\n>a\nMKV\n>a\n1\n")
    with pytest.warns(DuplicateIdWarning, match="'a' occurs more than once"):
        ids = [item.id for item in read_proteins(path)]
    assert ids == ["a", "a-2", "a-3"]


records = st.lists(
    st.tuples(st.text(RESIDUES, min_size=1, max_size=30), st.sampled_from(["\n", "\r\n", "\r"])),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records, st.integers(1, 10))
def test_any_line_ends_and_widths(tmp_path: Path, items: list[tuple[str, str]], width: int) -> None:
    text = ""
    for number, (sequence, end) in enumerate(items):
        parts = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        text += f">p{number}{end}" + "".join(part + end for part in parts)
    found = outline(write(tmp_path / "x.fasta", text))
    assert found == [(f"p{i}", sequence) for i, (sequence, _) in enumerate(items)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicateIdWarning)
        try:
            items = list(read_proteins(write(tmp_path / "x.fasta", content), format="fasta"))
        except UsageError as error:
            assert "damaged" in str(error)
            return
    heads = sum(
        line.removeprefix(b"\xef\xbb\xbf").strip().startswith(b">") for line in content.splitlines()
    )
    assert heads <= len(items) <= heads + 1 or content[:2] == b"\x1f\x8b"


BAD_CSV = (
    b"name,sequence,score,labels,note\r\n"
    b"a,MKV,0.5,010,\r\n"
    b"b,mkv ,-3,111,text\n"
    b"c,,1,1,\n"
    b"d,MK*V,1,1,\n"
    b"e,MKV,1,1\n"
    b"f,MKV,1,1,\xff\r"
    b'g,"MK\nV",1,000,"a, b"\n'
    b"\n"
    b",MKV,2,,\n"
)


def test_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", BAD_CSV)
    assert outline(path) == [
        ("a", "MKV"),
        ("b", "MKV"),
        ("c", "the sequence is empty"),
        (
            "d",
            "character '*' at position 3 is a stop codon inside the sequence; cut the sequence "
            "there",
        ),
        ("e", "5 columns in the header but 4 in the row"),
        ("f", "the text is not UTF-8; convert the file"),
        ("g", "MKV"),
        ("t_7", "MKV"),
    ]
    labels = [item.labels for item in read_proteins(path) if isinstance(item, ProteinRecord)]
    assert labels[0] == {"score": 0.5, "labels": "010"}
    assert labels[1] == {"score": -3, "labels": "111", "note": "text"}
    assert labels[3] == {"score": 2}


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "key,bait,prey,sequence\nx,MKV,AG,text\n")
    columns = Columns("bait", "prey", "key")
    (record,) = read_proteins(path, columns=columns)
    assert isinstance(record, ProteinRecord)
    assert record.id == "x" and record.protein == Protein("MKV", "AG")
    assert record.labels == {"sequence": "text"}
    with pytest.raises(UsageError, match="no column 'hook'; found key, bait"):
        list(read_proteins(path, columns=Columns("bait", "hook")))
    with pytest.raises(UsageError, match="no column 'sequence'; found a, b"):
        list(read_proteins(write(tmp_path / "u.csv", "a,b\n1,2\n")))


def test_pairs_have_two_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "sequence_1,sequence_2,label\nMKV,AG,1\nMKV,,0\n")
    assert outline(path) == [("t_0", "MKV:AG"), ("t_1", "MKV")]


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "sequence": "MKV", "sites": [0, 2], "labels": "012", "split": "train"},
        {"id": "b", "sequence": None},
        {"id": "c"},
        [1],
        {"id": "e", "sequence": "MKV", "partner": "AG", "ec": []},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + '\n\n{"id": "f", "seq'
    path = write(tmp_path / "r.jsonl.gz", gzip.compress(text.encode()))
    found = outline(path)
    assert found[:5] == [
        ("7", "MKV"),
        ("b", "a sequence is text, got NoneType"),
        ("c", "the sequence is missing"),
        ("r_3", "expected a JSON object, got list"),
        ("e", "MKV:AG"),
    ]
    assert found[5][0] == "r_5" and "not JSON" in found[5][1] and len(found) == 6
    first = next(read_proteins(path))
    assert isinstance(first, ProteinRecord)
    assert first.labels == {"sites": [0, 2], "labels": "012", "split": "train"}


def test_parquet(tmp_path: Path) -> None:
    invalid = pa.Array.from_buffers(  # as other writers leave it: bytes that are no UTF-8
        pa.string(),
        4,
        [None, pa.py_buffer(struct.pack("<5i", 0, 3, 5, 7, 7)), pa.py_buffer(b"MKV\xffAagM")],
    )
    table = pa.table({"ID": [7, 8, 9, 10], "Sequence": invalid, "tm": [1.5, None, 2.5, 3.0]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    assert outline(tmp_path / "t.parquet") == [
        ("7", "MKV"), ("8", "the text is not UTF-8; convert the file"), ("9", "AG"),
        ("10", "the sequence is empty"),
    ]  # fmt: skip
    first = next(iter(read_proteins(tmp_path / "t.parquet")))
    assert isinstance(first, ProteinRecord) and first.labels == {"tm": 1.5}
    write(tmp_path / "nameless", (tmp_path / "t.parquet").read_bytes())
    assert len(outline(tmp_path / "nameless")) == 4


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1], "b": [b"MKV"]}), path)
    with pytest.raises(UsageError, match="no column 'sequence'; found a, b"):
        list(read_proteins(path))
    with pytest.raises(UsageError, match="no column 'c'; found a, b"):
        list(read_proteins(path, columns=Columns(sequence="c")))
    assert outline(path, columns=Columns("b")) == [("t_0", "a sequence is text, got bytes")]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UsageError, match="no complete Parquet file"):
        list(read_proteins(path))


def test_variants_of_a_wild_type(tmp_path: Path) -> None:
    path = write(
        tmp_path / "dms.csv", 'variant,score\nM2A,1\n"M2A,V4G",2\nK2A,3\nM9A,4\nx,5\nM2*,6\n'
    )
    with pytest.raises(UsageError, match=r"meta\.json"):
        list(read_proteins(path))
    write(tmp_path / "meta.json", '{"wild_type": "MKV", "offset": 2}')
    assert [text[:30] for _, text in outline(path)] == [
        "AKV",
        "AKG",
        "K2A: the wild type has M there",
        "M9A lies outside the wild type",
        "cannot read the substitution '",
        "character '*' at position 1 is",
    ]
    write(tmp_path / "meta.json", '{"wild_type": "MKV", "mutated_positions_0based": [0, 2]}')
    found = outline(write(tmp_path / "dms.csv", "variant,score\nAG,1\nAGG,2\n"))
    assert [text[:33] for _, text in found] == ["AKG", "the variant 'AGG' does not have 2"]


def atom(
    serial: int, residue: str, chain: str, number: int, kind: str = "ATOM", name: str = "CA"
) -> str:
    place = f"{serial * 3.8:8.3f}{0.0:8.3f}{0.0:8.3f}"
    label = f" {name:<3}" if len(name) < 4 else name
    return (
        f"{kind:<6}{serial:5d} {label} {residue:>3} {chain}{number:4d}    {place}"
        f"{1.0:6.2f}{0.0:6.2f}           C\n"
    )


PDB = "".join(
    [
        atom(1, "MET", "A", 1),
        atom(2, "LYS", "A", 2),
        atom(3, "MSE", "A", 3, "HETATM"),
        atom(4, "UNK", "A", 4),
        atom(5, "VAL", "B", 1),
        atom(6, "GLY", "B", 2),
        atom(7, "DA", "C", 1, name="P"),
        atom(8, "CA", "B", 101, "HETATM"),
        "END\n",
    ]
)


def test_structures(tmp_path: Path) -> None:
    from Bio.PDB import PDBParser
    from Bio.PDB.mmcifio import MMCIFIO

    pdb = write(tmp_path / "1abc.pdb", PDB)
    assert outline(pdb) == [("1abc_A", "MKMX"), ("1abc_B", "VG")]
    assert outline(pdb, chain="B") == [("1abc_B", "VG")]
    ((id, reason),) = outline(pdb, chain="Z")
    assert id == "1abc_0" and reason == "there is no protein chain 'Z'; found: A, B"
    out = MMCIFIO()
    out.set_structure(PDBParser(QUIET=True).get_structure("x", io.StringIO(PDB)))
    text = io.StringIO()
    out.save(text)
    folder = tmp_path / "both"
    folder.mkdir()
    write(folder / "2xyz.cif.gz", gzip.compress(text.getvalue().encode()))
    write(folder / "3bad.cif", "data_x\nloop_\n_atom_site.id\n")
    write(folder / "4dna.pdb", atom(1, "DA", "C", 1, name="P"))
    assert [(id, text[:27]) for id, text in outline(folder)] == [
        ("2xyz_A", "MKMX"),
        ("2xyz_B", "VG"),
        ("3bad_0", "cannot be read as a mmCIF f"),
        ("4dna_0", "there is no protein chain i"),
    ]


def test_damaged_gzip_ends_with_one_failure(tmp_path: Path) -> None:
    text = "".join(f">p{i}\n{'MKVAG' * (i % 7 + 1)}\n" for i in range(2000))
    path = write(tmp_path / "x.fasta.gz", gzip.compress(text.encode())[:-300])
    items = list(read_proteins(path))
    assert [type(item) for item in items[:-1]] == [ProteinRecord] * (len(items) - 1)
    assert isinstance(items[-1], RecordFailure) and "damaged" in items[-1].error.reason


def test_unusable_input_is_refused_at_the_call(tmp_path: Path) -> None:
    for path, options, message in (
        (tmp_path / "absent.fasta", {}, "no such file"),
        (write(tmp_path / "empty.fasta", ""), {}, "empty"),
        (write(tmp_path / "empty.fasta.gz", gzip.compress(b"")), {}, "empty"),
        (write(tmp_path / "what.bin", "hello"), {}, "unknown format"),
        (write(tmp_path / "x.fasta", ">a\nM\n"), {"format": "stockholm"}, "known: fasta, csv"),
    ):
        with pytest.raises(UsageError, match=message):
            read_proteins(path, **options)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no PDB or mmCIF"):
        read_proteins(tmp_path / "folder")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared benchmark data")
@pytest.mark.parametrize(
    ("name", "records", "label"),
    [
        ("flip_bind/records.jsonl.gz", 1301, "labels"),
        ("phospho_st/records.jsonl.gz", 2173, "sites"),
        ("ec_nrpdb/records.jsonl.gz", 1843, "ec"),
        ("meltome/meltome.csv.gz", 3542, "target"),
        ("flip_gb1/gb1.csv.gz", 8384, "three_vs_rest"),
        ("dms_blat/blat.csv.gz", 4896, "score"),
    ],
)
def test_shared_sets_are_read_whole(name: str, records: int, label: str) -> None:
    items = list(read_proteins(SHARED / name))
    failures = [str(item.error) for item in items if isinstance(item, RecordFailure)]
    assert not failures[:3]
    assert len(items) == records
    assert all(label in item.labels for item in items if isinstance(item, ProteinRecord))


def test_csv_written_by_another_program(tmp_path: Path) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "sequence", "note"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerow({"id": "a", "sequence": "MKV", "note": 'with "quotes",\nand lines'})
    (record,) = read_proteins(write(tmp_path / "t.csv", out.getvalue()))
    assert isinstance(record, ProteinRecord)
    assert record.labels == {"note": 'with "quotes",\nand lines'}
