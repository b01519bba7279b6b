"""From results to sections of a report: metrics, published figures beside ours, galleries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sciar.evaluation.cards import structure_card
from sciar.evaluation.inputs import as_crystal, as_molecule
from sciar.evaluation.published import CSP_PROTOCOL_K1, published_csp
from sciar.evaluation.report import Card, Gallery, Rate, Row, Table
from sciar.records import Crystal, Molecule


@dataclass(frozen=True)
class Shown:
    """One structure or failed sample to show.

    Attributes:
        id: of the record or sample.
        structure: ``Crystal``, ``Molecule``, pymatgen ``Structure``, RDKit ``Mol``, or ``None``.
        status: "ok" or the kind of failure.
        message: why it failed, or a remark.
        facts: further facts for its card.
    """

    id: str
    structure: Any
    status: str = "ok"
    message: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def gallery(title: str, items: Sequence[Shown], *, limit: int = 24, failures: int = 4) -> Gallery:
    """Cards of the first structures and of the first few failures; the note counts them all.

    Args:
        title: heading.
        items: everything that was generated, in order: nothing is picked by its looks.
        limit: largest number of cards.
        failures: how many of them failed samples may take.
    """
    good = [item for item in items if item.structure is not None]
    bad = [item for item in items if item.structure is None]
    kept_bad = bad[:failures]
    kept = good[: max(0, limit - len(kept_bad))] + kept_bad
    note = f"{len(good):,} of {len(items):,} samples gave a structure."
    if len(kept) < len(items):
        note += f" Shown: the first {len(kept) - len(kept_bad):,} structures"
        note += f" and {len(kept_bad):,} of {len(bad):,} failures." if bad else "."
    return Gallery(title, [_card(item) for item in kept], note)


def metrics_table(title: str, summaries: Mapping[str, Mapping[str, Any]], note: str = "") -> Table:
    """Summaries of :mod:`sciar.evaluation`, one column a run, one row a metric.

    Dictionaries within a summary become rows with a dotted name; ``{count, of, rate}`` becomes a
    :class:`~sciar.evaluation.report.Rate`, ``{mean, count, of}`` a mean with its counts.
    """
    flat = {name: dict(_flattened(summary)) for name, summary in summaries.items()}
    metrics = dict.fromkeys(metric for values in flat.values() for metric in values)
    rows = [
        [metric.replace("_", " "), *(values.get(metric) for values in flat.values())]
        for metric in metrics
    ]
    return Table(title, ["metric", *flat], rows, note)


def csp_table(
    title: str,
    dataset: str,
    ours: Mapping[str, Mapping[str, Any]],
    *,
    protocol: str = CSP_PROTOCOL_K1,
    note: str = "",
) -> Table:
    """Our match rates and RMSEs, then the published ones of the same data set and protocol.

    Args:
        title: heading.
        dataset: ``perov_5``, ``carbon_24``, ``mp_20`` or ``mpts_52``.
        ours: name -> ``{"match_rate": ..., "rmse": ...}`` as in a summary of ``evaluate_csp``.
        protocol: see :func:`~sciar.evaluation.published.csp_protocol`.
        note: below the table, e.g. on which part of the test set ours were measured.
    """
    rows = [
        Row([name, _cell(result["match_rate"]), _cell(result["rmse"]), "this run"], ours=True)
        for name, result in ours.items()
    ]
    rows += [
        Row([figure.model, f"{figure.match_rate:.2f} %", figure.rmse, figure.source])
        for figure in published_csp(dataset, protocol)
    ]
    return Table(title, ["method", "match rate", "RMSE / (V/N)^(1/3)", "source"], rows, note)


def _card(item: Shown) -> Card:
    structure: Crystal | Molecule | None
    if item.structure is None or isinstance(item.structure, Crystal | Molecule):
        structure = item.structure
    elif hasattr(item.structure, "lattice"):
        structure = as_crystal(item.structure)
    else:
        structure = as_molecule(item.structure)
    status, message = item.status, item.message
    if structure is None and item.structure is not None:
        status, message = "unusable", message or "disordered, singular or without atoms"
    return structure_card(
        structure, record_id=item.id, status=status, message=message, facts=item.facts
    )


def _flattened(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in summary.items():
        if isinstance(value, Mapping) and not {"count", "of"} <= value.keys():
            yield from _flattened(value, f"{prefix}{name}: ")
        elif isinstance(value, Mapping) or not isinstance(value, list | tuple):
            yield prefix + name, _cell(value)


def _cell(value: Any) -> object:
    if not isinstance(value, Mapping):
        return value
    interval = tuple(value["interval"]) if value.get("interval") else None
    if "rate" in value:
        return Rate(value["count"], value["of"], interval)
    if value.get("mean") is None:
        return f"– ({value['count']:,} / {value['of']:,})"
    text = f"{value['mean']:.4g} ({value['count']:,} / {value['of']:,})"
    return text + (f", 95 % interval {interval[0]:.4g}–{interval[1]:.4g}" if interval else "")
