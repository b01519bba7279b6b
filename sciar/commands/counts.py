"""What was asked for and what came out: counts that every report of a run shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sciar.api.samples import Sample
from sciar.evaluation.report import Rate, Table


@dataclass(frozen=True)
class Counts:
    """Counts of one run.

    Attributes:
        requested: structures asked for.
        drawn: samples that the model finished, each counted once.
        attempts: sequences drawn for them (more with ``--retries``).
        parsed: samples that were structures at all.
        kept: structures that passed every check.
        failures: message -> how many samples failed with it, the most frequent first.
        redrawn: message -> how many attempts failed with it and were drawn again, likewise.
    """

    requested: int
    drawn: int
    attempts: int
    parsed: int
    kept: int
    failures: dict[str, int]
    redrawn: dict[str, int]

    @classmethod
    def of(cls, samples: Sequence[Sample], requested: int) -> Counts:
        """Count a run's samples."""
        messages = Counter(s.message for s in samples if not s.ok)
        redrawn = Counter(message for s in samples for message in s.earlier)
        return cls(
            requested,
            sum(s.attempts > 0 for s in samples),
            sum(s.attempts for s in samples),
            sum(s.parsed for s in samples),
            sum(s.ok for s in samples),
            dict(messages.most_common()),
            dict(redrawn.most_common()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain form for a JSON file."""
        return dict(vars(self))

    def line(self) -> str:
        """One line for the terminal, and one for each of the most frequent failures."""
        head = (
            f"requested {self.requested:,}, drawn {self.drawn:,} "
            f"(in {self.attempts:,} attempts), parsed {self.parsed:,}, kept {self.kept:,}"
        )
        again = [f"{reason} (drawn again)" for reason in self.redrawn]
        reasons = [*self.failures.items(), *zip(again, self.redrawn.values(), strict=True)]
        shown = [f"  {count:,} x {message}" for message, count in reasons[:5]]
        more = len(reasons) - len(shown)
        shown += [f"  and {more:,} further reasons, see --json"] if more > 0 else []
        return "\n".join([head, *shown])

    def table(self) -> Table:
        """As a table of a report."""
        names = ("drawn", "parsed", "kept")
        rows: list[list[object]] = [["requested", self.requested], ["attempts", self.attempts]]
        rows += [[name, Rate(getattr(self, name), self.requested)] for name in names]
        rows += [[f"failed: {message}", count] for message, count in self.failures.items()]
        rows += [[f"drawn again: {message}", count] for message, count in self.redrawn.items()]
        return Table("Counts", ["what", "how many"], rows[:25])
