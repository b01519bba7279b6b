"""What an evaluation gives, and the options that all metrics share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sciar.api.selection import Tally

if TYPE_CHECKING:
    from sciar.evaluation.report import Section


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one set of structures.

    Attributes:
        task: ``csp``, ``denovo`` or ``conformer``.
        summary: metric -> value; every rate with its counts.
        rows: the verdict on each record.
        beside: name -> summary of what stands beside: the baseline that learns nothing, or the
            reference data scored by the same rules.
        dataset: the named data set of the references, if they are one.
        k: samples of each reference (csp and conformer).
        notes: what a reader must know.
        samples: which samples of a run the figures are over, with its counts as far as known.
        chosen: the same scores of those samples that a ranking by likelihood chose, if there was
            one; never mixed with the others.
    """

    task: str
    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    dataset: str | None = None
    k: int | None = None
    notes: list[str] = field(default_factory=list)
    samples: Tally = field(default_factory=lambda: Tally(""))
    chosen: Evaluation | None = None

    def table(self) -> str:
        """As text, with counts, what stands beside, and published figures of the same protocol."""
        from sciar.evaluation import format_table

        about = self.samples.line()
        parts = [about] if about else []
        parts.append(format_table(self.summary))
        for name, summary in self.beside.items():
            parts.append(f"{name}:\n{format_table(summary)}")
        if published := self.published():
            lines = [f"  {p['model']:<12} {p['match_rate']:6.2f} %  {p['rmse']:.4f}  {p['source']}"
                     for p in published]  # fmt: skip
            parts.append("published (match rate with validity, RMSE):\n" + "\n".join(lines))
        apart = [] if self.chosen is None else [self.chosen.table()]
        return "\n\n".join([*parts, *self.notes, *apart])

    def published(self) -> list[dict[str, Any]]:
        """Published figures of the same data set and protocol; empty if none is known."""
        from sciar.evaluation.published import csp_protocol, published_csp

        if self.task != "csp" or self.dataset is None or self.k is None:
            return []
        return [vars(figure) for figure in published_csp(self.dataset, csp_protocol(self.k))]

    def sections(self) -> list[Section]:
        """As sections of a report."""
        from sciar.evaluation.published import csp_protocol
        from sciar.evaluation.report import Text
        from sciar.evaluation.sections import csp_table, metrics_table

        columns = {"this run": self.summary, **self.beside}
        found: list[Section] = [metrics_table("Metrics", columns)]
        if self.published():
            assert self.dataset is not None and self.k is not None
            ours = {name: s["with_validity"] for name, s in columns.items()}
            protocol = csp_protocol(self.k)
            title = f"{self.dataset}, {self.k} raw sample(s) per composition, with validity"
            found.insert(0, csp_table(title, self.dataset, ours, protocol=protocol))
        if about := self.samples.line():
            found.insert(0, Text([about], "Samples"))
        if self.notes:
            found.append(Text(self.notes, "Notes"))
        return found if self.chosen is None else [*found, *self.chosen.sections()]

    def to_dict(self, rows: bool = True) -> dict[str, Any]:
        """Plain form for a JSON file."""
        plain: dict[str, Any] = {"task": self.task, "dataset": self.dataset, "k": self.k}
        plain |= {"summary": self.summary, "beside": self.beside, "published": self.published()}
        plain |= {"notes": self.notes, "samples": self.samples.to_dict()}
        if self.chosen is not None:
            plain["chosen"] = self.chosen.to_dict(rows=False)
        return {**plain, "rows": self.rows} if rows else plain


@dataclass(frozen=True)
class Options:
    """Options of :func:`evaluate` that the metrics share."""

    k: int | None = None
    jobs: int = 1
    timeout: float | None = 60.0
    bootstrap: int = 1000
    seed: int = 0
    progress: bool = False
    metre: bool = False
    polymorphs: bool = False
    strata: bool = False
    exclude: bool = False
    posebusters: bool = False
    threshold: float | None = None
    bonds: str = "qm9"
    selection: str = "auto"
    requested: int | None = None

    @property
    def work(self) -> dict[str, Any]:
        """What every metric takes."""
        names = ("jobs", "timeout", "bootstrap", "seed", "progress")
        return {name: getattr(self, name) for name in names}
