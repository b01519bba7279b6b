"""One self-contained HTML report: pictures, tables with counts, charts and where it all came from.

The file needs no network and no script. Everything that comes from data is escaped; pictures are
checked to be plain SVG.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sciar.errors import UsageError

_SVG = "{http://www.w3.org/2000/svg}"
_DRAWING = frozenset(
    ("svg", "title", "desc", "defs", "g", "path", "circle", "ellipse", "rect", "line", "polyline")
    + ("polygon", "text", "tspan", "radialGradient", "linearGradient", "stop", "clipPath", "use")
)


@dataclass(frozen=True)
class Rate:
    """A share that is never shown without its counts.

    Attributes:
        hits: how many.
        total: of how many.
        interval: lower and upper bound of the share (0..1), or ``None``.
    """

    hits: int
    total: int
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        if not self.total:
            return f"– ({self.hits:,} / 0)"
        text = f"{100 * self.hits / self.total:.2f} % ({self.hits:,} / {self.total:,})"
        if self.interval:
            low, high = (100 * bound for bound in self.interval)
            text += f", 95 % interval {low:.2f}–{high:.2f}"
        return text


@dataclass(frozen=True)
class Row:
    """One row of a table; ``ours`` sets the row apart from figures of others."""

    cells: Sequence[object]
    ours: bool = False


@dataclass(frozen=True)
class Text:
    """Paragraphs under an optional heading."""

    paragraphs: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table. Cells are text, whole numbers, floats, ``None`` (a dash) or :class:`Rate`.

    A column named "source" is set small: published figures carry theirs there.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row | Sequence[object]]
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One structure: a picture, what it is, its verdict, and facts about it.

    Attributes:
        title: e.g. the formula.
        id: identifier of the record or sample.
        picture: SVG, or "" when there is nothing to draw.
        status: e.g. "ok" or the kind of failure.
        message: why it failed, or a remark.
        facts: name -> value, shown below the picture.
        more: further SVG shown beside the picture, such as a structural formula.
    """

    title: str
    id: str
    picture: str = ""
    status: str = "ok"
    message: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    more: str = ""


@dataclass(frozen=True)
class Gallery:
    """Cards in a grid that adapts to the width of the page."""

    title: str
    cards: Sequence[Card]
    note: str = ""


@dataclass(frozen=True)
class Charts:
    """SVG charts side by side, from :mod:`sciar.evaluation.charts`."""

    title: str
    charts: Sequence[str]
    note: str = ""


Section = Text | Table | Gallery | Charts


def write_report(
    path: str | Path,
    *,
    title: str,
    sections: Sequence[Section],
    subtitle: str = "",
    provenance: Mapping[str, object] | None = None,
) -> Path:
    """Write a report as one HTML file, complete or not at all.

    Args:
        path: the file to write; its folder is made if needed.
        title: of the page.
        sections: in reading order.
        subtitle: one line below the title.
        provenance: name -> value for the footer (model, seed, command, ...); the versions of the
            libraries are added.

    Raises:
        UsageError: a picture is not plain SVG, or a row does not fit its table.
    """
    html = render_report(title, sections, subtitle, provenance or {})
    return write_text(Path(path), html)


def render_report(
    title: str,
    sections: Sequence[Section],
    subtitle: str = "",
    provenance: Mapping[str, object] | None = None,
) -> str:
    """The HTML of :func:`write_report` as a string."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sciar.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=format_cell, numeric=_is_number, svg=checked_svg)
    environment.tests["rate"] = lambda value: isinstance(value, Rate)
    return environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        sections=[_view(section) for section in sections],
        provenance={**(provenance or {}), **versions()},
    )


def versions() -> dict[str, str]:
    """The versions of SciAR, Python and the libraries that decide the numbers of a report."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("sciar", "torch", "rdkit", "pymatgen", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def format_cell(value: object) -> str:
    """A table cell as text: four significant digits for floats, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)


def checked_svg(svg: str) -> Any:
    """SVG marked as safe to include, after a look that it holds nothing but drawing.

    Raises:
        UsageError: not well-formed, not SVG, or with scripts, links or foreign content.
    """
    from markupsafe import Markup

    if "<!DOCTYPE" in svg or "<!ENTITY" in svg:
        raise UsageError("a picture holds a document type declaration, which a report refuses")
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise UsageError(f"a picture is not well-formed SVG: {error}") from error
    for element in root.iter():
        name = str(element.tag).removeprefix(_SVG)
        if name not in _DRAWING or (element is root) != (name == "svg"):
            raise UsageError(f"a picture holds <{name}>, which a report refuses")
        for key, value in element.attrib.items():
            _check_attribute(name, key, value)
    return Markup(svg)


def _check_attribute(element: str, key: str, value: str) -> None:
    local = key.rsplit("}", 1)[-1].lower()
    external = "url(" in value.replace("url(#", "") or (local == "href" and value[:1] != "#")
    if local.startswith("on") or external or "javascript:" in value.lower():
        raise UsageError(f"a picture's <{element}> has {local}={value!r}, which a report refuses")


def write_text(path: Path, text: str) -> Path:
    """Write a file under a temporary name beside its place, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float | Rate)


def _view(section: Section) -> dict[str, Any]:
    """What the template needs to know of a section."""
    view: dict[str, Any] = {"kind": type(section).__name__.lower(), "section": section}
    if isinstance(section, Table):
        view["rows"] = [row if isinstance(row, Row) else Row(row) for row in section.rows]
        for row in view["rows"]:
            if len(row.cells) != len(section.columns):
                raise UsageError(
                    f"table {section.title!r}: a row has {len(row.cells)} cells "
                    f"for {len(section.columns)} columns"
                )
    return view
