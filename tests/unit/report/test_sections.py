"""Results become sections with every count kept."""

from __future__ import annotations

import numpy as np

from sciar.evaluation.report import Rate, Row, format_cell, render_report
from sciar.evaluation.sections import Shown, csp_table, gallery, metrics_table
from sciar.evaluation.statistics import mean, rate
from sciar.records import Crystal

SALT = Crystal(4.1 * np.eye(3), ("Cs", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def test_galleries_count_what_they_do_not_show() -> None:
    items = [Shown(str(i), SALT) for i in range(50)]
    items[3:3] = [Shown(f"bad{i}", None, "failed", "collapsed") for i in range(9)]
    section = gallery("g", items, limit=10, failures=2)
    assert [card.id for card in section.cards] == [*"01234567", "bad0", "bad1"]
    assert section.note == (
        "50 of 59 samples gave a structure. Shown: the first 8 structures and 2 of 9 failures."
    )
    assert gallery("g", items[:2]).note == "2 of 2 samples gave a structure."


def test_galleries_take_the_libraries_own_objects() -> None:
    from rdkit import Chem

    mol = Chem.MolFromSmiles("CCO")
    section = gallery("g", [Shown("a", SALT.to_pymatgen()), Shown("b", mol)])
    assert [card.title for card in section.cards] == ["CsCl", "C2H6O"]
    assert section.cards[1].more  # the structural formula of a molecule without coordinates
    assert section.cards[1].facts["mass"] == "46.07 u"
    assert "no coordinates" in section.cards[1].message


def test_a_structure_that_cannot_be_used_says_so() -> None:
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    card = gallery("g", [Shown("a", mixed)]).cards[0]
    assert card.status == "unusable"
    assert "disordered" in card.message


def test_metrics_keep_their_counts() -> None:
    summary = {
        "records": 3,
        "validity": {"structural": rate([True, True, False]), "density": 0.25},
        "rmse": mean([0.1, None, 0.3]),
        "none": mean([None]),
        "rows": [1, 2],
    }
    table = metrics_table("t", {"ours": summary, "theirs": {"records": 5}})
    cells = {row[0]: list(row[1:]) for row in table.rows}  # type: ignore[index]
    assert cells == {
        "records": [3, 5],
        "validity: structural": [Rate(2, 3), None],
        "validity: density": [0.25, None],
        "rmse": ["0.2 (2 / 3)", None],
        "none": ["– (0 / 1)", None],
    }
    assert "66.67 % (2 / 3)" in render_report("t", [table])


def test_published_figures_stand_with_their_source() -> None:
    ours = {"perov5-csp": {"match_rate": rate([True] * 3 + [False]), "rmse": mean([0.05] * 3)}}
    table = csp_table("t", "perov_5", ours)
    rows = [row for row in table.rows if isinstance(row, Row)]
    assert rows[0].ours
    assert format_cell(rows[0].cells[1]) == "75.00 % (3 / 4)"
    published = {row.cells[0]: row.cells[1:] for row in rows if not row.ours}
    assert list(published["DiffCSP"][:2]) == ["52.02 %", 0.076]
    assert all("arXiv" in str(cells[-1]) for cells in published.values())


def test_other_protocols_get_no_published_figures() -> None:
    ours = {"x": {"match_rate": rate([True]), "rmse": mean([0.1])}}
    assert len(csp_table("t", "perov_5", ours, protocol="k20-relaxed").rows) == 1
