"""Fetching against a server on this machine: resume, checksums, trust on first use, refusals."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sciar.datasets import fetch as fetch_module
from sciar.datasets.download import ResumableDownloader
from sciar.datasets.fetch import fetch
from sciar.datasets.registry import DataSet, Download
from sciar.errors import UsageError

CONTENT = bytes(range(256)) * 4096
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content``; each entry of ``cuts`` ends one answer after so many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.with_ranges = True
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        tag = f'"{hashlib.md5(server.content).hexdigest()}"'
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        fresh = self.headers.get("If-Range") in (None, tag)
        start = int(match.group(1)) if match and server.with_ranges and fresh else 0
        size = len(server.content)
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.send_header("ETag", tag)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else size
        self.wfile.write(server.content[start : start + cut])
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    instance = Server()
    thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield instance
    instance.shutdown()
    thread.join()
    instance.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciar.datasets.download.time.sleep", lambda seconds: None)


def entry(url: str, sha256: str | None = None, file: str = "train.csv") -> DataSet:
    return DataSet("toy", "crystals", "a toy", "none", (Download(file, url, sha256),))


def run(server: Server, folder: Path, sha256: str | None = None) -> tuple[Path, list[str]]:
    said: list[str] = []
    target = fetch(
        "toy", folder=folder, progress=False, say=said.append, dataset=entry(server.url, sha256)
    )
    return target / "train.csv", said


def test_interrupted_transfer_resumes_at_once(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 400_000]
    path, _ = run(server, tmp_path, SHA)
    assert path.read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert len(server.ranges) == 3
    starts = [int(text.split("=")[1][:-1]) for text in server.ranges[1:] if text]
    assert 0 < starts[0] <= 300_000 and starts[0] < starts[1] <= 700_000
    assert [p.name for p in path.parent.iterdir()] == ["train.csv"]


def test_interrupted_run_resumes_in_a_later_run(server: Server, tmp_path: Path) -> None:
    part, out = tmp_path / "f.part", tmp_path / "f"
    server.cuts = [500_000]
    with pytest.raises(UsageError, match="run the command again"):
        ResumableDownloader(part, progress=False, retries=0)(server.url, out)
    kept = part.stat().st_size
    assert 0 < kept <= 500_000 and not out.exists()
    ResumableDownloader(part, progress=False, retries=0)(server.url, out)
    assert server.ranges[-1] == f"bytes={kept}-"
    assert out.read_bytes() == CONTENT and not part.exists()


def test_changed_file_or_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    part, out = tmp_path / "f.part", tmp_path / "f"
    server.cuts = [500_000]
    with pytest.raises(UsageError):
        ResumableDownloader(part, progress=False, retries=0)(server.url, out)
    server.content = CONTENT[::-1]
    ResumableDownloader(part, progress=False, retries=0)(server.url, out)
    assert out.read_bytes() == CONTENT[::-1]
    server.with_ranges = False
    part.write_bytes(b"half")
    ResumableDownloader(part, progress=False, retries=0)(server.url, out)
    assert out.read_bytes() == CONTENT[::-1]


def test_complete_or_oversized_part(server: Server, tmp_path: Path) -> None:
    part, out = tmp_path / "f.part", tmp_path / "f"
    part.write_bytes(CONTENT)
    ResumableDownloader(part, progress=False)(server.url, out)
    assert out.read_bytes() == CONTENT
    part.write_bytes(CONTENT + b"more")
    ResumableDownloader(part, progress=False)(server.url, out)
    assert out.read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_nothing_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the checksum is not 0000"):
        run(server, tmp_path, "0" * 64)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_trust_on_first_use(server: Server, tmp_path: Path) -> None:
    path, said = run(server, tmp_path)
    assert any("trusted on first use" in line and SHA in line for line in said)
    lock = tmp_path / "fetch.lock.json"
    assert json.loads(lock.read_text()) == {"crystals/toy/train.csv": SHA}
    _, said = run(server, tmp_path)
    assert not any("trusted" in line for line in said)
    assert len(server.ranges) == 1
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(UsageError, match=r"remove 'crystals/toy/train.csv' from"):
        run(server, tmp_path)
    assert not path.exists()


def test_refusals(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(UsageError, match="404"):
        run(server, tmp_path)
    with pytest.raises(UsageError, match="no official address"):
        fetch("qm7", folder=tmp_path)
    with pytest.raises(UsageError, match="unknown data set"):
        fetch("nothing", folder=tmp_path)
    (tmp_path / "fetch.lock.json").write_text("{broken")
    with pytest.raises(UsageError, match="damaged"):
        run(server, tmp_path)


def test_no_connection_is_said(tmp_path: Path) -> None:
    closed = Server()
    url = closed.url
    closed.server_close()
    with pytest.raises(UsageError, match="the transfer broke off"):
        fetch("toy", folder=tmp_path, progress=False, dataset=entry(url))


def test_zip_is_unpacked_without_its_folders(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("raw/gdb9.sdf", "molecules")
        archive.writestr("../../outside.csv", "no escape")
    server.content = packed.getvalue()
    toy = entry(server.url, file="toy.zip")
    target = fetch("toy", folder=tmp_path / "d", progress=False, say=lambda _: None, dataset=toy)
    assert (target / "gdb9.sdf").read_text() == "molecules"
    assert (target / "outside.csv").exists()
    assert not list(tmp_path.glob("*.csv")) and fetch_module.fetch is fetch
