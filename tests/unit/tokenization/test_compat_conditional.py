"""Golden sequences of UniGenX's conditional targets (spec 1.12), and their round trips."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Labelled, Molecule, Protein, Record
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.compat_conditional import (
    UniGenXConditionalTokenizer,
    UniGenXDockingTokenizer,
    UniGenXEnzymeTokenizer,
    UniGenXTraceTokenizer,
)
from sciar.tokenization.kekule import parse

SALT = Crystal(5.6 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])
EC = [*"ARNDCQEGHILKMFPSTWYVX", "<ec1>", "<ec2>", "<ec3>", "<prot>", *map(str, range(1, 28)),
      "30", "31", "97", "98", "99"]  # fmt: skip


def ethanol() -> Molecule:
    return Molecule(("C", "C", "O"), np.arange(9.0).reshape(3, 3), mol=parse("CCO"))


def test_cond_mat() -> None:
    made = UniGenXConditionalTokenizer("cond_mat")
    sequence = made.encode(Labelled(SALT, {"bulk": 100.0}))
    assert sequence.ids.tolist() == [123, 352, 1, 14, 20, 353, *[352] * 5, 2]
    assert sequence.kinds.tolist() == [0, 1, 0, 0, 0, 0, *[1] * 5, 0]
    rows = sequence.values[sequence.kinds == 1]
    np.testing.assert_allclose(rows[0], [math.log(101)] * 3, rtol=1e-6)
    np.testing.assert_allclose(rows[1:4], 5.6 * np.eye(3), rtol=1e-6)
    assert not sequence.weights[:3].any()
    decoded = made.decode(sequence)
    assert isinstance(decoded, Crystal) and decoded.species == ("Na", "Cl")
    request = made.request({"bulk": 100})
    assert made.cursor(request).sequence().ids.tolist() == [123, 352, 1]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("bulk", 0.0, 0.0), ("bulk", -1.0, -math.log(2)), ("band", 0.0, -1.0),
        ("mag", 2.0, -math.log(2) / 10), ("mag", -2.0, math.log(2) / 10), ("mag", 0.0, 0.0),
        ("density", math.e, -0.1),
    ],
)  # fmt: skip
def test_transforms_of_materials(name: str, value: float, wanted: float) -> None:
    made = UniGenXConditionalTokenizer("cond_mat")
    sequence = made.cursor(made.request({name: value})).sequence()
    np.testing.assert_allclose(sequence.values[1], [wanted] * 3, atol=1e-6)


def test_cond_mol() -> None:
    made = UniGenXConditionalTokenizer("cond_mol")
    sequence = made.encode(Labelled(ethanol(), {"alpha": 30.0}))
    assert sequence.ids.tolist() == [1, 25, 31, 24, 5, 5, 7, 32, 31, 31, 31, 2]
    assert sequence.kinds.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0]
    np.testing.assert_allclose(sequence.values[2], [30.0] * 3)
    assert made.decode(sequence).symbols == ("C", "C", "O")  # type: ignore[union-attr]
    both = made.cursor(made.request({"Cv": 6.0, "gap": 0.25})).sequence()
    assert both.ids.tolist() == [1, 26, 31, 30, 31, 24]  # in the order of the registry
    none = made.cursor(made.request({})).sequence()
    assert none.ids.tolist() == [1, 24]


def test_prot_in_nanometres() -> None:
    made = UniGenXTraceTokenizer()
    trace = Molecule(("ALA", "GLY"), np.array([[0.0, 0, 0], [3.8, 0, 0]]))
    sequence = made.encode(trace)
    assert sequence.ids.tolist() == [1, 4, 11, 26, 25, 25, 2]
    np.testing.assert_allclose(sequence.values[4:6, 0], [-0.19, 0.19], atol=1e-6)
    decoded = made.decode(sequence)
    assert isinstance(decoded, Molecule) and decoded.symbols == trace.symbols
    assert np.linalg.norm(np.diff(decoded.positions, axis=0)) == pytest.approx(3.8, abs=1e-5)  # type: ignore[arg-type]
    assert made.conditions_of(Record("a", trace)) == {"sequence": "AG"}
    with pytest.raises(RecordError, match="no residue"):
        made.request({"sequence": "AB"})
    with pytest.raises(RecordError, match="no residue"):
        made.encode(ethanol())
    with pytest.raises(RecordError, match="at most 256"):
        made.request({"sequence": "A" * 300})


def test_ecnum() -> None:
    made = UniGenXEnzymeTokenizer(EC)
    assert len(made.vocabulary) == 64
    sequence = made.encode(Labelled(Protein("AG"), {"ec": "1.1.1.1"}))  # type: ignore[arg-type]
    assert sequence.ids.tolist() == [1, 25, 29, 26, 29, 27, 29, 28, 4, 11, 2]
    assert not sequence.kinds.any()
    decoded = made.decode(sequence)
    assert isinstance(decoded, Protein) and decoded.sequence == "AG"
    for bad in ("1.1", "a.b.c", "1.55.1"):
        with pytest.raises(RecordError, match="EC number"):
            made.request({"ec": bad})
    with pytest.raises(UsageError, match="dictionary"):
        UniGenXEnzymeTokenizer()


def test_docking_has_its_layout_but_makes_nothing() -> None:
    words = [f"<{s}_{end}>" for s in ("PROT", "LIG", "LIG_COORDS", "PROT_APO_COORDS",
             "PROT_HOLO_COORDS") for end in ("START", "END")]  # fmt: skip
    made = UniGenXDockingTokenizer([*"CNO", *words])
    with pytest.raises(UsageError, match="makes no structures"):
        made.request({})
    with pytest.raises(RecordError, match="PROT_START"):
        UniGenXDockingTokenizer([*"CNO"])


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({}, UsageError, "exactly one"),
        ({"bulk": 1, "band": 2}, UsageError, "exactly one"),
        ({"Cv": 1}, UsageError, "leave out Cv"),
        ({"bulk": "hard"}, RecordError, "no number"),
        ({"band": -1}, RecordError, "no logarithm"),
    ],
)
def test_wrong_conditions(conditions: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        UniGenXConditionalTokenizer("cond_mat").request(conditions)


@pytest.mark.parametrize(
    "made",
    [UniGenXConditionalTokenizer("cond_mat"), UniGenXConditionalTokenizer("cond_mol", scale=2.0),
     UniGenXTraceTokenizer(), UniGenXEnzymeTokenizer(EC)],
)  # fmt: skip
def test_they_are_stored_with_a_model(made: Any) -> None:
    again = build_tokenizer(entry_of(made), vocabulary=made.vocabulary)
    assert again.fingerprint == made.fingerprint
