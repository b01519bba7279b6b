"""What a design run writes down: a table of all samples, the structures, the state, TensorBoard.

A round is done when the state says so; what a round wrote before it was interrupted is dropped when
the run goes on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciar.datasets.files import replace_file
from sciar.datasets.readers import read_all
from sciar.datasets.writers import write
from sciar.designing.scoring import Score
from sciar.errors import UsageError
from sciar.records import Record
from sciar.tokenization.vocabulary import fingerprint

TABLE, STRUCTURES, STATE = "scores.csv", "structures", "state.json"


class Diary:
    """The folder of a run.

    Args:
        folder: new, or that of the same run.
        facts: what tells one run from another.

    Raises:
        UsageError: it holds something else, or a run of other facts.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder, self._mark = folder, fingerprint(json.loads(json.dumps(facts)))
        self.rounds: list[dict[str, Any]] = []
        path = folder / STATE
        if path.is_file():
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["mark"] != self._mark:
                raise UsageError(
                    f"{folder} holds a run of another model, objective or settings; choose another "
                    "folder, or the same ones (only the rounds and processes may change)"
                )
            self.rounds = state["rounds"]
        elif folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} exists and is no design run; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._table = [r for r in self._read() if int(r["round"]) < self.done]
        self._board: Any = None

    @property
    def done(self) -> int:
        """Rounds that are done."""
        return len(self.rounds)

    def _read(self) -> list[dict[str, str]]:
        path = self.folder / TABLE
        if not path.is_file():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def scores(self) -> dict[str, Score]:
        """Scores of the rounds that are done, by the key of the structure."""
        return {
            r["key"]: Score(
                float(r["value"]) if r["value"] else None, r["score_status"], r["score_message"]
            )
            for r in self._table
            if r["key"]
        }

    def structures(self) -> list[Record]:
        """What had a value in the rounds that are done, in order."""
        found: list[Record] = []
        for number in range(self.done):
            path = self.folder / STRUCTURES / f"{number:04d}.jsonl"
            if path.is_file():
                found += read_all(path)[0]
        return found

    def write(
        self,
        number: int,
        rows: Sequence[dict[str, Any]],
        structures: Sequence[Record],
        figures: dict[str, Any],
    ) -> None:
        """Write a round down; the state comes last."""
        self._table += [{k: str(v) for k, v in row.items()} for row in rows]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._table)
        replace_file(self.folder / TABLE, out.getvalue().encode())
        if structures:
            (self.folder / STRUCTURES).mkdir(exist_ok=True)
            write(structures, self.folder / STRUCTURES / f"{number:04d}.jsonl")
        self._log(number, figures)
        self.rounds = [*self.rounds, figures]
        state = json.dumps({"mark": self._mark, "rounds": self.rounds}, indent=1)
        replace_file(self.folder / STATE, state.encode())

    def _log(self, number: int, figures: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.folder / "tensorboard")) as board:
            for name, value in figures.items():
                if name != "round" and value is not None:
                    board.add_scalar(f"design/{name}", value, number)
