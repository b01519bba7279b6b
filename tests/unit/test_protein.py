"""The record of a protein: what sequences it takes, and what it says about others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError
from sciar.records import RESIDUES, Protein


@given(st.text(RESIDUES, min_size=1), st.none() | st.text(RESIDUES, min_size=1))
def test_clean_sequences_are_kept(sequence: str, partner: str | None) -> None:
    protein = Protein.from_text(sequence, partner)
    assert protein == Protein(sequence, partner)
    assert "".join(protein.chains) == sequence + (partner or "")
    assert len(protein) == len(sequence) + len(partner or "")


@pytest.mark.parametrize(
    ("text", "sequence"),
    [("mkv", "MKV"), (" MK\tV\r\n", "MKV"), ("MKV**", "MKV"), ("MJUOBZX", "MXUOBZX")],
)
def test_text_of_files_is_tidied(text: str, sequence: str) -> None:
    assert Protein.from_text(text).sequence == sequence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("*", "empty"),
        (" \n", "empty"),
        ("MK*V", "'*' at position 3 is a stop codon"),
        ("MK-V", "'-' at position 3 is a gap"),
        ("MK1V", "'1' at position 3 is no residue"),
        ("MKß", "'ß' at position 3 is no residue"),
        ("MK\N{CYRILLIC CAPITAL LETTER A}", "position 3 is no residue"),
    ],
)
def test_other_characters_are_refused_with_their_position(text: str, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        Protein.from_text(text)
    assert message in caught.value.reason and caught.value.field == "sequence"
    with pytest.raises(RecordError) as caught:
        Protein.from_text("MKV", text)
    assert caught.value.field == "partner"


@given(st.text())
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        protein = Protein.from_text(text)
    except RecordError as error:
        assert error.reason
    else:
        assert set(protein.sequence) <= set(RESIDUES)
