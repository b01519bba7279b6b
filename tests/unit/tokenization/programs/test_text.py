"""Programs as text: writing and reading are inverses, and errors have a place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import programs

from sciar.errors import RecordError, UsageError
from sciar.records import Call, Program
from sciar.tokenization.programs.language import SHIPPED, Argument, Language, load_language
from sciar.tokenization.programs.text import read_program, write_program

CLEVR = load_language("clevr")
CUBE = "add(size='small', color='blue', material='metal', shape='cube', loc=(1, -2.31, .35))"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_reading_inverts_writing(data: st.DataObject) -> None:
    language = load_language(data.draw(st.sampled_from(SHIPPED)))
    program = data.draw(programs(language))
    text = write_program(program, language)
    assert read_program(text, language) == program
    assert write_program(read_program(text, language), language) == text


def test_the_form_of_text() -> None:
    text = write_program(read_program(CUBE, CLEVR), CLEVR)
    assert text == (
        "add(size='small', color='blue', material='metal', shape='cube', "
        "loc=(1.000, -2.310, 0.350))\n"
    )
    assert write_program(Program(()), CLEVR) == ""


def test_what_people_write_by_hand() -> None:
    by_hand = (
        "\n# a comment\n add ( loc = ( 1 , -2.31 , 3.5e-1 , ) , shape='block',\n"
        " size=\"tiny\",\r\n color='blue', material='shiny', rotation=(0.1), )  # another"
    )
    program = read_program(by_hand, CLEVR)
    expected = read_program(CUBE[:-1] + ", rotation=0.1)", CLEVR)
    assert program == expected and program.calls[0].arguments["size"] == "small"


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (CUBE + "\nsub()", "line 2, column 1", "no sub()"),
        (CUBE + "\n" + CUBE[:-1], "line 2, column 84", "expected ',' or ')', found the end"),
        (CUBE.replace("'blue'", "'pink'"), "line 1, column 25", "'pink' is none of gray"),
        (CUBE.replace("'blue'", "blue"), "line 1, column 25", "expected a quoted word"),
        (CUBE.replace("-2.31", "-2.31.4"), "line 1, column 78", "expected ')', found '.'"),
        (CUBE.replace("-2.31", "9"), "line 1, column 69", "y = 9 lies outside -4 ... 4"),
        (CUBE.replace("-2.31", "1e999"), "line 1, column 73", "too large"),
        (CUBE.replace(", .35", ""), "line 1, column 78", "2 numbers where there are 3"),
        (CUBE.replace("loc", "lok"), "line 1, column 65", "no argument lok"),
        (CUBE[:-1] + ", color='red')", "line 1, column 86", "color is given twice"),
        (CUBE.replace("size='small', ", ""), "line 1, column 70", "lacks size"),
        ("  )", "line 1, column 3", "expected the name of a call, found ')'"),
        ("add\n(\n  size 'small')", "line 3, column 8", "expected '='"),
    ],
)
def test_errors_have_a_place(text: str, place: str, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_program(text, CLEVR)
    assert str(caught.value).startswith(f"field program: {place}: ")
    assert reason in caught.value.reason


def test_calls_out_of_order_or_too_many() -> None:
    crystal = load_language("crystal")
    cell = "cell(a=4, b=4, c=4, alpha=90, beta=90, gamma=90)\n"
    atom = "add(Z=38, pos=(0, 0, 0.5))\n"
    assert len(read_program(cell + atom, crystal)) == 2
    for text, reason in (
        (atom + cell, r"line 2, column 1: cell\(\) must come before add"),
        (cell + cell, r"line 2, column 1: at most 1 calls of cell"),
        ("", r"line 1, column 1: the program ends with 0 calls of cell\(\)"),
        (cell + "add(Z=1.5, pos=(0,0,0))", r"line 2, column 7: expected a whole number"),
        (cell + "add(Z=119, pos=(0,0,0))", r"line 2, column 7: Z: 119 is no whole number from 1"),
    ):
        with pytest.raises(RecordError, match=reason):
            read_program(text, crystal)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_damaged_text_is_read_or_refused_with_a_place(data: st.DataObject) -> None:
    text = write_program(read_program(CUBE + "\n" + CUBE, CLEVR), CLEVR)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = (
        text[:at]
        + data.draw(st.text("(),='x1. #", max_size=3))
        + text[at + data.draw(st.integers(0, 9)) :]
    )
    try:
        program = read_program(damaged, CLEVR)
    except RecordError as error:
        assert error.reason.startswith("line ")
    else:
        assert read_program(write_program(program, CLEVR), CLEVR)


def test_periodic_numbers_wrap() -> None:
    yaw = CLEVR.calls["add"].arguments["rotation"]
    quarter = yaw.map.high - yaw.map.low
    assert yaw.check((0.1 + quarter,)) == pytest.approx((0.1,))
    assert yaw.check((yaw.map.high,)) == (yaw.map.low,)
    position = load_language("crystal").calls["add"].arguments["pos"]
    assert position.rounded(0.99997) == 0.0 and position.rounded(0.9999) == 0.9999


def test_programs_that_are_none() -> None:
    good = {"size": "big", "color": "red", "material": "matte", "shape": "ball", "loc": (0, 0, 0)}
    assert CLEVR.check(Program((Call("add", good),))).calls[0].arguments["size"] == "large"
    for change, reason in (
        ({"loc": (0.0, 0.0)}, "call 1: loc: .* is not 3 real numbers"),
        ({"loc": "here"}, "call 1: loc: 'here' is not 3"),
        ({"color": 3}, "call 1: color: 3 is none of"),
        ({"weight": 1.0}, "has no argument weight"),
    ):
        with pytest.raises(RecordError, match=reason):
            CLEVR.check(Program((Call("add", {**good, **change}),)))
    with pytest.raises(RecordError, match="no finite numbers"):
        Call("add", {"loc": (0.0, float("nan"), 0.0)})
    with pytest.raises(RecordError, match="11 calls of add"):
        CLEVR.check(Program((Call("add", good),) * 11))


def test_the_canonical_order() -> None:
    columns = load_language("micrograph")
    rows = [Call("col", {"Z": 1, "xy": xy}) for xy in ((3, 1), (1, 2), (0, 1))]
    kept = columns.check(Program(tuple(rows)), "canonical").calls
    assert [call.arguments["xy"] for call in kept] == [(0, 1), (3, 1), (1, 2)]


def test_languages_that_are_none(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"no language 'nothing'; known are dots"):
        load_language("nothing")
    with pytest.raises(UsageError, match="no such file"):
        load_language(str(tmp_path / "x.yaml"))
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ncalls: {f: {arguments: {x: {numbers: [x], hihg: 3}}}}\n")
    with pytest.raises(UsageError, match=r"f\.x: unknown options hihg"):
        load_language(str(path))
    path.write_text("name: mine\ncalls: {f: {most: 2, arguments: {x: {numbers: [x], high: 3}}}}\n")
    assert load_language(str(path)).most == 2
    path.write_text("- 1\n")
    with pytest.raises(UsageError, match="not a language"):
        load_language(str(path))
    for options, reason in (
        ({}, "give one of"),
        ({"numbers": ("x",), "low": 1.0, "high": 1.0}, "low must be below high"),
        ({"numbers": ("x",), "transform": "log", "low": 0.0}, "positive range"),
        ({"numbers": ("x",), "low": 0.001, "high": 0.002, "decimals": 2}, "no number of 2"),
        ({"words": ("a",), "synonyms": {"b": "c"}}, "synonyms of unknown words: c"),
        ({"words": ("it's",)}, "holds a quote"),
        ({"rotation": "quat"}, "none of 6d, 9d"),
        ({"counts": (3, 1)}, "rising"),
    ):
        with pytest.raises(UsageError, match=reason):
            Argument(**options)
    with pytest.raises(UsageError, match="no calls"):
        Language("empty", {})
