"""Published figures to print beside ours, for the same data set and protocol only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

CSP_PROTOCOL_K1 = "k1"
"""One raw sample per composition, the official split, StructureMatcher 0.3 / 0.5 / 10."""


@dataclass(frozen=True)
class PublishedFigure:
    """One row of a published table.

    Attributes:
        dataset, protocol: what was measured, and how.
        model: name in the paper.
        match_rate: percent.
        rmse: mean over matched references, in units of (V/N)^(1/3).
        source: the paper it was taken from.
    """

    dataset: str
    protocol: str
    model: str
    match_rate: float
    rmse: float
    source: str


@cache
def _all_figures() -> tuple[PublishedFigure, ...]:
    text = files("sciar.evaluation").joinpath("data/published_csp.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    sources = content["sources"]
    return tuple(
        PublishedFigure(**{**row, "source": sources[row["source"]]}) for row in content["figures"]
    )


def csp_protocol(k: int) -> str:
    """The protocol key of k raw samples per composition."""
    return f"k{k}"


def published_csp(dataset: str, protocol: str = CSP_PROTOCOL_K1) -> list[PublishedFigure]:
    """Figures of one data set and protocol, in the order of publication.

    Args:
        dataset: ``perov_5``, ``carbon_24``, ``mp_20`` or ``mpts_52``.
        protocol: see :func:`csp_protocol`.

    Returns:
        An empty list if nothing with a verified source is known: figures of other protocols are
        never offered in its place.
    """
    return [f for f in _all_figures() if (f.dataset, f.protocol) == (dataset, protocol)]
