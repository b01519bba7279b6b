"""Reports: self-contained, escaped, complete or absent."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.cards import structure_card
from sciar.evaluation.charts import bar_chart, line_chart
from sciar.evaluation.pictures import crystal_svg
from sciar.evaluation.report import (
    Card,
    Charts,
    Gallery,
    Rate,
    Row,
    Table,
    Text,
    checked_svg,
    format_cell,
    render_report,
    write_report,
)
from sciar.records import Crystal, Molecule

SALT = Crystal(4.1 * np.eye(3), ("Cs", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements and the text of a page, with a check that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def full_report(hostile: str = "plain") -> str:
    table = Table(
        hostile,
        ["method", hostile, "source"],
        [Row([hostile, Rate(1, 3), hostile], ours=True), ["other", 0.5, "paper"]],
        note=hostile,
    )
    card = structure_card(
        SALT, record_id=hostile, message=hostile, status=hostile, facts={hostile: hostile}
    )
    failed = structure_card(None, record_id="none", status="no structure", message="collapsed")
    chart = line_chart({hostile: [(1, 2), (3, 4)]}, title=hostile, x_label=hostile, y_label=hostile)
    return render_report(
        hostile,
        [
            Text([hostile], title=hostile),
            table,
            Gallery(hostile, [card, failed], note=hostile),
            Charts(hostile, [chart, bar_chart({hostile: 1.0}, title="bars")]),
        ],
        subtitle=hostile,
        provenance={hostile: hostile},
    )


def test_everything_from_outside_is_escaped() -> None:
    page = Page(full_report(HOSTILE))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 15


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    assert Page(full_report(f"a{text}")).tags == Page(full_report()).tags


def test_the_page_is_self_contained() -> None:
    html = full_report()
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [key for key, _ in page.attributes if key in ("src", "href", "srcset")]
    addresses = set(re.findall(r"https?://[^\"' <]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_a_rate_shows_its_counts() -> None:
    assert str(Rate(453, 1000)) == "45.30 % (453 / 1,000)"
    assert str(Rate(0, 0)) == "– (0 / 0)"
    assert str(Rate(1, 2, (0.1, 0.9))).endswith("95 % interval 10.00–90.00")
    assert "33.33 % (1 / 3)" in full_report()


def test_cells() -> None:
    shown = [format_cell(v) for v in (None, float("nan"), True, 12345, 0.123456, 123456.7, "x")]
    assert shown == ["–", "–", "yes", "12,345", "0.1235", "123,457", "x"]


def test_failed_structures_keep_their_card() -> None:
    html = full_report()
    assert html.count('<article class="card') == 2
    assert "collapsed" in html
    assert "no picture" in html


def test_card_facts_are_those_of_the_structure() -> None:
    card = structure_card(SALT, record_id="cscl")
    assert card.title == "CsCl"
    assert card.facts["space group"] == "Pm-3m (221)"
    assert card.facts["density"] == "4.06 g/cm³"
    assert card.facts["shortest distance"] == "3.55 Å"
    water = structure_card(Molecule(("O", "H", "H"), np.eye(3)), record_id="w")
    assert (water.title, water.facts["mass"], water.more) == ("H2O", "18.02 u", "")


def test_the_shortest_distance_sees_an_atoms_own_images() -> None:
    card = structure_card(Crystal(2.0 * np.eye(3), ("Po",), np.zeros((1, 3))), record_id="po")
    assert card.facts["shortest distance"] == "2.00 Å"


def test_too_large_a_structure_gives_a_card_that_says_so() -> None:
    card = structure_card(Molecule(("C",) * 800, np.zeros((800, 3))), record_id="big")
    assert not card.picture
    assert "too many" in card.message


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_report(path, title="t", sections=[Text(["one"])]) == path
    first = path.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="2 cells for 1 columns"):
        write_report(path, title="t", sections=[Table("wrong", ["a"], [[1, 2]])])
    assert path.read_text(encoding="utf-8") == first
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "inner",
    [
        "<script>1</script>",
        "<foreignObject/>",
        '<image href="http://example.org/a.png"/>',
        '<path onclick="x()"/>',
        '<path fill="url(http://example.org/#a)"/>',
        '<use href="http://example.org/#a"/>',
        '<path style="background:url(data:x)"/>',
        "<svg/>",
        "<path>",
    ],
)
def test_pictures_that_are_more_than_drawings_are_refused(inner: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    with pytest.raises(UsageError):
        checked_svg(svg)
    with pytest.raises(UsageError):
        render_report("t", [Gallery("g", [Card("c", "id", picture=svg)])])


def test_a_document_type_is_refused() -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg"/>'
    with pytest.raises(UsageError, match="document type"):
        checked_svg(bomb)


def test_many_pictures_share_a_page_without_sharing_ids() -> None:
    cards = [Card("x", str(i), picture=crystal_svg(SALT)) for i in range(4)]
    ids = re.findall(r' id="([^"]+)"', render_report("t", [Gallery("g", cards)]))
    assert len(ids) == 8
    assert len(set(ids)) == 8


def test_versions_stand_in_the_footer() -> None:
    import numpy

    assert numpy.__version__ in full_report()
