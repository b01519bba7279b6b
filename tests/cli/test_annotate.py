"""``sciar annotate``: rows, messages and exit codes, with a small untrained model."""

from __future__ import annotations

import gzip
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from protein_files import write_fasta
from tiny_proteins import TASKS, make_protein_model

from sciar.cli import main
from sciar.jobs import Row, read_rows

TASK = "deeploc"
SIGNALS_ITSELF = Path(__file__).resolve().parents[1] / "support" / "signals_itself.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_protein_model(tmp_path_factory.mktemp("models") / "tiny-answers"))


@pytest.fixture
def annotated(model: str, tmp_path: Path):
    """Runs the command on a file; gives its exit code and rows."""

    def run(path: Path, *words: str, tasks: str = TASK) -> tuple[int, list[Row]]:
        out = tmp_path / f"out-of-{path.name}"
        code = main(
            ["annotate", str(path), "--model", model, "--tasks", tasks, "--out", str(out), *words]
        )
        return code, list(read_rows(out)) if list(out.glob("part-*")) else []

    return run


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_rows_of_every_kind_of_task(
    annotated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "p.fasta.gz", gzip.compress(b">a one\nMKVLAA\n>b\nACD\nEF\n>c\nMK1\n"))
    numbers = tmp_path / "counts.json"
    code, rows = annotated(path, "--json", str(numbers), tasks="deeploc, tm,secondary_structure")
    assert code == 3
    assert [(r.id, r.task) for r in rows] == [
        (id, task) for id in "abc" for task in ("deeploc", "tm", "secondary_structure")
    ]
    place, tm, structure = (r for r in rows if r.id == "b")
    assert place.value in TASKS["deeploc"]["labels"] and 0 < place.confidence <= 1
    assert isinstance(tm.value, float) and tm.confidence is None
    assert len(structure.value) == 5 and set(structure.value) <= set("HEC")
    assert {r.status for r in rows if r.id == "c"} == {"failed"}
    assert all("character '1' at position 3 is no residue" in r.message for r in rows[6:])
    told = capsys.readouterr().out
    assert "records 3, without any answer 1; rows 9, answered 6, failed 3" in told
    assert "  c, deeploc: sequence: character '1'" in told
    content = json.loads(numbers.read_text())
    assert content["tasks"]["tm"] == {"answered": 2, "failed": 1} and content["complete"]


def test_what_sequences_may_hold(annotated, tmp_path: Path) -> None:
    """Mixed line ends, small letters, rare letters, a final stop; and what is refused."""
    path = write(
        tmp_path / "p.fa",
        b">lower\r\nmkvl\r>rare\nMUOBZXJ\n>stop\r\nMKV*\n>inside\nM*KV\n>empty\n"
        b">gap\nMK-V\n>bytes\nMK\xffV\n>space\n MK V \n\n",
    )
    code, rows = annotated(path)
    assert code == 3
    assert {r.id: r.status for r in rows} == {
        "lower": "ok", "rare": "ok", "stop": "ok", "inside": "failed", "empty": "failed",
        "gap": "failed", "bytes": "failed", "space": "ok",
    }  # fmt: skip
    message = {r.id: r.message for r in rows}
    assert "stop codon inside" in message["inside"] and "is empty" in message["empty"]
    assert "is a gap" in message["gap"] and "0xff at offset 2 is not UTF-8" in message["bytes"]


def test_tables_pairs_and_columns(annotated, tmp_path: Path) -> None:
    table = {"key": ["x", "y"], "bait": ["MKV", "ACD"], "prey": ["AG", None]}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    columns = ("--sequence-column", "bait", "--partner-column", "prey", "--id-column", "key")
    code, rows = annotated(tmp_path / "p.parquet", *columns, tasks="binds")
    assert code == 3 and [(r.id, r.status) for r in rows] == [("x", "ok"), ("y", "failed")]
    assert rows[0].value in ("yes", "no")
    assert "2 sequence(s) are needed and 1 given" in rows[1].message
    write(tmp_path / "p.csv", b"id,sequence\na,MKV\nb,\n")
    code, rows = annotated(tmp_path / "p.csv", "--shard-size", "1")
    assert code == 3 and [(r.id, r.status) for r in rows] == [("a", "ok"), ("b", "failed")]


def test_repeated_ids_and_long_sequences(
    annotated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = b"ACDEFGHIKL" * 60  # windows of 254
    path = write(tmp_path / "p.fasta", b">a\nMKV\n>a\nMKVV\n>long\n" + long + b"\n")
    code, rows = annotated(path, tasks="secondary_structure")
    assert code == 0 and [r.id for r in rows] == ["a", "a-2", "long"]
    assert [len(r.value) for r in rows] == [3, 4, 600]
    assert "windows" in rows[2].message
    assert "the id 'a' occurs more than once" in capsys.readouterr().err


def test_exit_codes(annotated, tmp_path: Path) -> None:
    assert annotated(write(tmp_path / "good.fa", b">a\nMKV\n"))[0] == 0
    assert annotated(write(tmp_path / "bad.fa", b">a\nM1KV\n"))[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"--tasks": "deeploc,fold"},
            "tiny-answers has no task 'fold'; it knows: deeploc, tm, sec",
        ),
        ({"--tasks": "ec"}, "tiny-answers has no task 'ec'"),
        ({"--model": "nonesuch"}, "no model and no folder 'nonesuch'"),
        ({"--model": "csp"}, "csp makes structures and answers no questions"),
        ({"--shard-size": "0"}, "at least one record"),
        ({"--batch-tokens": "0"}, "at least one token"),
        ({"--format": "stockholm"}, "known: fasta, csv"),
        ({"--sequence-column": "x"}, ""),
        ({"--device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_wrong_usage(
    options: dict[str, str],
    message: str,
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "p.csv", b"id,sequence\na,MKV\n")
    given = {"--model": model, "--tasks": TASK, "--out": str(tmp_path / "out"), **options}
    assert main(["annotate", str(path), *(w for pair in given.items() for w in pair)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unusable_input(annotated, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, message in (
        ("empty.fasta", b"", "the file is empty"),
        ("blank.fasta", b" \n\n", "holds no records"),
        ("what.bin", b"hello", "unknown format"),
        ("broken.fasta.gz", b"\x1f\x8bnonsense", "gzip file is damaged"),
    ):
        code = 1 if name.startswith("broken") else 2  # the disk's fault, not the command's
        assert annotated(write(tmp_path / name, content))[0] == code
        assert message in capsys.readouterr().err
    assert main(["annotate", "x.fasta", "--out", "y"]) == 2
    assert "model" in capsys.readouterr().err


def test_a_folder_of_another_job(
    annotated, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "p.fa", b">a\nMKV\n>b\nACD\n")
    assert annotated(path)[0] == 0
    out = tmp_path / "out-of-p.fa"
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert annotated(path)[0] == 2 and "give --resume" in capsys.readouterr().err
    assert annotated(path, "--resume", tasks="tm")[0] == 2
    assert "another job" in capsys.readouterr().err
    other = str(make_protein_model(tmp_path / "tiny-answers", seed=1))
    words = ["annotate", str(path), "--model", other, "--tasks", TASK, "--out", str(out)]
    assert main([*words, "--resume"]) == 2
    assert "worker sha256" in capsys.readouterr().err
    assert annotated(path, "--resume")[0] == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_rows_do_not_depend_on_batches(model: str, tmp_path: Path) -> None:
    path = tmp_path / "p.fasta"
    write_fasta(path, 24, bad_every=0)
    made = []
    for number, tokens in enumerate(("1", "3000", "100000")):
        out = tmp_path / str(number)
        words = ["--tasks", "deeploc,tm,secondary_structure", "--shard-size", str(8 + 4 * number)]
        words += ["--batch-tokens", tokens, "--out", str(out)]
        assert main(["annotate", str(path), "--model", model, *words]) == 0
        made.append(list(read_rows(out)))
    for rows in made[1:]:
        for row, first in zip(rows, made[0], strict=True):
            assert (row.id, row.task, row.status) == (first.id, first.task, first.status)
            if row.task == "tm":
                assert row.value == pytest.approx(first.value, rel=1e-5)
            else:
                assert row.value == first.value
                assert row.confidence == pytest.approx(first.confidence, abs=2e-4)


def test_the_command_of_the_readme(
    repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repo_root / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = [line for line in text.splitlines() if line.startswith("sciar annotate ")]
    monkeypatch.chdir(tmp_path)
    make_protein_model(Path("runs/protein-multitask/model"))
    write_fasta(Path("proteins.fasta"), 30, bad_every=0)
    assert main(shlex.split(command)[1:]) == 0
    rows = list(read_rows("annotated", task="deeploc"))
    assert [row.id for row in rows] == [f"p{i}" for i in range(30)]
    assert main(shlex.split(command)[1:]) == 0  # resumed, and there is nothing left to do


def test_killed_and_stopped_by_sigterm(model: str, tmp_path: Path) -> None:
    path = tmp_path / "p.fasta"
    write_fasta(path, 200, bad_every=60)
    words = ["annotate", str(path), "--model", model, "--tasks", TASK]
    words += ["--shard-size", "20", "--batch-tokens", "2000", "--out"]
    calm, out = tmp_path / "calm", tmp_path / "out"
    assert main([*words, str(calm)]) == 3
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        have = len(list(out.glob("part-*")))
        when = [str(int(number)), str(have + 2)]
        done = subprocess.run(
            [sys.executable, str(SIGNALS_ITSELF), *when, *words, str(out), "--resume"],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr[-2000:]
        assert ("--resume goes on from there" in done.stdout) == (number == signal.SIGTERM)
        assert len(list(out.glob("part-*"))) == have + 2
    assert main([*words, str(out), "--resume"]) == 3
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {
        p.name: p.read_bytes() for p in calm.iterdir()
    }


def test_the_command_of_the_readme_works_with_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, on a file with one bad record."""
    readme = Path(__file__).resolve().parents[2] / "README.md"
    text = readme.read_text(encoding="utf-8").replace("\\\n", " ")
    line = next(x for x in text.splitlines() if x.startswith("sciar annotate "))
    words = shlex.split(line)[1:]
    monkeypatch.delenv("SCIAR_ZOO", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / words[1]
    write(path, b">a\nMKTAYIAKQRQISFVKSHFSRQ\n>b\nMK1\n>c\nMSTNPKPQRKTKRNTNRRPQDVKF\n")
    tasks = words[words.index("--tasks") + 1].split(",")
    out = tmp_path / words[words.index("--out") + 1]
    for _ in range(2):  # the second time there is nothing left to do
        assert main(words) == 3
        rows = list(read_rows(out))
        assert [(row.id, row.task) for row in rows] == [(id, t) for id in "abc" for t in tasks]
        assert {row.id: row.status for row in rows} == {"a": "ok", "b": "failed", "c": "ok"}
    structure = next(row for row in rows if (row.id, row.task) == ("a", "secondary_structure"))
    assert len(structure.value) == 22 and set(structure.value) <= set("HEC")
    assert 0 < structure.confidence <= 1
