"""What an output folder says about itself: the job, and the shards that are done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sciar.datasets.files import write_json
from sciar.errors import UsageError

NAME = "_manifest.json"
"""Readers of Parquet folders skip names that begin with an underscore."""
FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """A finished file of rows.

    Attributes:
        file: its name in the folder.
        sha256: of its bytes.
        records: how many records it answers.
        bad: how many of them have no answer at all.
        failed: task -> rows that failed.
    """

    file: str
    sha256: str
    records: int
    bad: int
    failed: dict[str, int]


@dataclass
class Manifest:
    """Nothing in it depends on when, where or with which interruptions the job ran.

    Attributes:
        job: facts that fix the rows and their division into shards.
        shards: index -> finished shard.
        complete: whether there are no more records.
    """

    job: dict[str, Any]
    shards: dict[int, Shard] = field(default_factory=dict)
    complete: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the facts."""
        text = json.dumps(self.job, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write it into a folder, under a temporary name first."""
        content = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "complete": self.complete,
            "job": self.job,
            "shards": [{"index": i, **asdict(s)} for i, s in sorted(self.shards.items())],
        }
        write_json(folder / NAME, content)

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, ``None`` if it has none.

        Raises:
            UsageError: damaged, or of a newer SciAR.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise UsageError(f"{path}: written by a newer SciAR; upgrade, or use another --out")
            shards = {entry.pop("index"): Shard(**entry) for entry in content["shards"]}
            return cls(content["job"], shards, content["complete"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path}: damaged ({error!r}); move the folder away and start again"
            ) from error

    def differences(self, job: dict[str, Any]) -> list[str]:
        """What is other in the facts of another job, in words."""
        here, there = _flat(job), _flat(json.loads(json.dumps(self.job)))
        names = dict.fromkeys([*here, *there])
        return [
            f"{name} is {_short(there.get(name))} there and {_short(here.get(name))} here"
            for name in names
            if here.get(name) != there.get(name)
        ]


def _flat(facts: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(facts, dict):
        return {prefix: list(facts) if isinstance(facts, tuple) else facts}
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found |= _flat(value, f"{prefix} {name}".strip())
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:14]}...{text[-6:]}"
