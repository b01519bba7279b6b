"""Properties as answers: only what is known carries loss, and answers are never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_models import (
    CRYSTALS,
    MOLECULES,
    TARGETS,
    crystal_properties,
    labelled_crystals,
    property_model,
)
from tiny_models import random_crystals, tiny_config, tiny_model

from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import RecordError, UsageError
from sciar.generation.answers import answers
from sciar.objectives.next_token import NextTokenObjective
from sciar.objectives.sources import answering
from sciar.records import Crystal, Labelled, Record, Structure, symbols_of
from sciar.testing.tokenizers import TokenizerTests
from sciar.tokenization.elements import NUMBER
from sciar.tokenization.packing import pack
from sciar.tokenization.property import PropertyTokenizer
from sciar.tokenization.targets import Target
from sciar.tokenization.vocabulary import Vocabulary


class TestContract(TokenizerTests):
    """The house rules of tokenizers hold for one around another."""

    def make_tokenizer(self) -> PropertyTokenizer:
        return crystal_properties()

    def make_structures(self) -> Sequence[Structure]:
        records = labelled_crystals(6)
        return [Labelled(r.structure, r.properties) for r in records]  # type: ignore[misc]

    def make_inexpressible(self) -> Structure:
        return Crystal(np.eye(3) * 4, ("Zz",), np.zeros((1, 3)))

    def assert_same(self, actual: Any, expected: Any) -> None:
        super().assert_same(actual, expected.structure)

    def test_it_says_what_it_makes_and_takes(self) -> None:
        """It takes what its base takes, and makes nothing."""
        tokenizer = self.make_tokenizer()
        assert tokenizer.makes == ("crystals",) and not tokenizer.conditions
        with pytest.raises(RecordError, match="takes no records"):
            tokenizer.conditions_of(labelled_crystals(1)[0])


def test_the_structure_is_given_and_only_known_answers_carry_loss() -> None:
    tokenizer = crystal_properties()
    for record in labelled_crystals(12, missing=["volume", "metal", "site", "charge"]):
        sequence = tokenizer.encode(tokenizer.subject(record))
        assert not sequence.weights[: sequence.context].any()
        names = [tokenizer.vocabulary.names[i] for i in sequence.ids[sequence.context :]]
        assert set(names) == {t.slot for t in tokenizer.asked}
        for target in tokenizer.asked:
            at = sequence.ids == tokenizer.vocabulary.id(target.slot)
            count = len(record.structure) if target.each == "atom" else 1
            known = target.name in record.properties
            assert at.sum() == count and (sequence.weights[at] == float(known)).all()


def test_missing_labels_carry_no_loss() -> None:
    """Whatever number stands for a missing label, loss and gradients are the same."""
    tokenizer = crystal_properties()
    model = property_model(tokenizer)
    sequences = [
        tokenizer.encode(tokenizer.subject(r))
        for r in labelled_crystals(6, missing=["volume", "site"])
    ]
    results = []
    for filler in (0.0, 1.0):
        batch = pack(sequences)
        unknown = (batch.kinds > 0) & (batch.weights == 0)
        unknown &= torch.tensor([False, *(s.role == "answer" for s in tokenizer.vocabulary.slots)])[
            batch.kinds
        ]
        assert unknown.any()
        values = torch.where(unknown[:, None], filler, batch.values)
        losses = NextTokenObjective().losses(model, replace(batch, values=values), salt=0)
        total, _ = NextTokenObjective().total(losses)
        model.zero_grad()
        total.backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results.append((total.detach(), grads))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


def test_answers_do_not_hang_on_labels_batches_or_each_other() -> None:
    tokenizer = crystal_properties()
    model = property_model(tokenizer)
    records = labelled_crystals(9)
    bare = [tokenizer.encode(r.structure) for r in records]
    told = [tokenizer.encode(tokenizer.subject(r)) for r in records]
    alone = [answers(model, [s])[0] for s in bare]
    for other in (answers(model, bare), answers(model, told), answers(model, told, budget=40)):
        for one, two in zip(alone, other, strict=True):
            assert set(one) == {t.slot for t in tokenizer.asked}
            for slot in one:
                np.testing.assert_allclose(one[slot], two[slot], rtol=2e-4, atol=1e-5)
    fewer = crystal_properties([TARGETS[1], TARGETS[0]])
    assert set(answers(property_model(fewer), [fewer.encode(records[0].structure)])[0]) == {
        "<property:metal>", "<property:volume>",
    }  # fmt: skip


def test_an_atom_is_answered_at_its_own_token() -> None:
    tokenizer = crystal_properties()
    model = property_model(tokenizer)
    record = max(labelled_crystals(12), key=lambda r: len(r.structure))
    sequence = tokenizer.encode(tokenizer.subject(record))
    batch = pack([sequence, sequence])
    source = answering(model, batch)
    site = tokenizer.vocabulary.kind("<site>")
    for slot in ("<property:site>", "<property:charge>"):
        at = (batch.kinds == tokenizer.vocabulary.kind(slot)).nonzero().squeeze(1)
        assert (batch.kinds[source[at]] == site).all()
        assert torch.equal(batch.anchors[source[at]], batch.anchors[at])
    order = tokenizer.base.atom_order(record.structure)
    labels = sequence.payload(tokenizer.vocabulary.kind("<property:site>"), 1)[:, 0]
    assert labels.tolist() == [record.properties["site"][i] for i in order]


def test_any_layout_can_be_asked() -> None:
    records = read_all(resolve("sample-molecules"))[0][:5]
    asked: list[Any] = ["size", {"name": "heavy", "classes": ["0", "1"], "each": "atom"}]
    tokenizer = PropertyTokenizer(MOLECULES, asked)
    labelled = [
        replace(
            r,
            properties={
                "size": len(r.structure),
                "heavy": [int(s != "H") for s in r.structure.symbols],  # type: ignore[union-attr]
            },
        )
        for r in records
    ]
    tokenizer.fit_statistics([tokenizer.subject(r) for r in labelled])
    mean = tokenizer.vocabulary.slots[tokenizer.vocabulary.kind("<property:size>") - 1].mean[0]
    assert mean == pytest.approx(np.mean([len(r.structure) for r in records]))
    for record in labelled:
        sequence = tokenizer.encode(tokenizer.subject(record))
        symbols = [tokenizer.vocabulary.names[i] for i in sequence.labels[sequence.kinds == 1]]
        heavy = sequence.payload(tokenizer.vocabulary.kind("<property:heavy>"), 1)[:, 0]
        assert heavy.tolist() == [float(s != "H") for s in symbols]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=2, max_size=20))
def test_numbers_are_standardised_by_what_is_known(values: list[float | None]) -> None:
    tokenizer = PropertyTokenizer(CRYSTALS, ["y"])
    crystal = random_crystals(1)[0]
    subjects = [Labelled(crystal, {"y": value}) for value in values]
    known = [v for v in values if v is not None]
    if not known:
        with pytest.raises(UsageError, match=r"none of .* has a value of 'y'"):
            tokenizer.fit_statistics(subjects)
        return
    tokenizer.fit_statistics(subjects)
    slot = tokenizer.vocabulary.slots[tokenizer.vocabulary.kind("<property:y>") - 1]
    assert slot.mean[0] == pytest.approx(np.mean(known), abs=1e-6)
    assert slot.std[0] == pytest.approx(np.std(known) or 1.0, rel=1e-6)
    assert Vocabulary.from_dict(tokenizer.vocabulary.to_dict()).slots == tokenizer.vocabulary.slots


@pytest.mark.parametrize(
    ("properties", "field", "message"),
    [
        ({"volume": "large"}, "volume", "'large' is no number"),
        ({"volume": float("inf")}, "volume", "no finite number"),
        ({"metal": "perhaps"}, "metal", "known are no, yes"),
        ({"site": [1]}, "site", "one value each"),
        ({"site": 1}, "site", "one value each"),
        ({"charge": ["a", "b"]}, "charge", "no number"),
    ],
)
def test_bad_labels_name_record_and_field(
    properties: dict[str, Any], field: str, message: str
) -> None:
    crystal = Crystal(np.eye(3) * 4, ("Na", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    record = Record("nacl", crystal, properties, "data.csv", 0)
    with pytest.raises(RecordError, match=message) as caught:
        crystal_properties().subject(record)
    assert caught.value.field == field


@pytest.mark.parametrize("value", [None, "", "nan", "NA", float("nan")])
def test_missing_is_missing(value: Any) -> None:
    assert Target("y").payload(value) is None
    assert Target("y", classes=("0", "1")).payload(value) is None


def test_classes_are_names_of_numbers_too() -> None:
    target = Target.of({"name": "y", "classes": [0, 1.0]})
    assert target.classes == ("0", "1")
    assert [target.payload(v) for v in (0, "0", 1.0, "1", True)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "at least one target"),
        (["a", "a"], "each name once"),
        ([{"name": "a", "classes": ["x"]}], "two different classes"),
        ([{"name": "a", "each": "bond"}], "bond"),
        ([{"name": "a", "colour": 1}], "other options"),
    ],
)
def test_wrong_targets_are_refused(targets: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PropertyTokenizer(CRYSTALS, targets)


def test_a_base_must_be_one_tokenizer_with_one_layout() -> None:
    for path, message in (
        ("sciar.tokenization.unified.UnifiedTokenizer", "one of its parts"),
        ("sciar.records.Crystal", "no tokenizer"),
        ("sciar.nothing.Here", "unknown tokenizer"),
    ):
        with pytest.raises(UsageError, match=message):
            PropertyTokenizer({"class_path": path}, ["y"])
    with pytest.raises(UsageError, match="sciar predict"):
        crystal_properties().request({})


OCTREES = (
    {
        "class_path": "sciar.tokenization.octree_crystal.OctreeCrystalTokenizer",
        "init_args": {"max_atoms": 8},
    },
    {
        "class_path": "sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer",
        "init_args": {"max_atoms": 60, "preset": "drug"},
    },
)


@pytest.mark.parametrize("base", OCTREES, ids=["crystals", "molecules"])
def test_octrees_can_be_asked_too(base: dict[str, Any]) -> None:
    """The same answers on a layout with places; labels of atoms land on their atoms."""
    asked: list[Any] = ["size", {"name": "who", "each": "atom"}]
    tokenizer = PropertyTokenizer(base, asked)
    if tokenizer.makes == ("crystals",):
        structures: list[Structure] = list(random_crystals(4))
    else:
        structures = [r.structure for r in read_all(resolve("sample-molecules"))[0][:5]]
    subjects = [
        Labelled(s, {"size": len(s), "who": [NUMBER[x] for x in symbols_of(s)]}) for s in structures
    ]
    tokenizer.fit_statistics(subjects)
    kind = tokenizer.vocabulary.kind("<property:who>")
    for structure, subject in zip(structures, subjects, strict=True):
        sequence = tokenizer.encode(subject)
        about = sequence.references[sequence.kinds == kind, 0]
        element = [tokenizer.vocabulary.names[i] for i in sequence.labels[about]]
        told = sequence.payload(kind, 1)[:, 0]
        assert [NUMBER[e] for e in element] == told.tolist()
        atoms = tokenizer.atoms_of(structure, sequence)
        told_of = [atoms[i] for i in np.flatnonzero(sequence.kinds == kind)]
        assert told_of == list(tokenizer.atom_order(structure))
        turned = tokenizer.encode(subject, augment=np.random.default_rng(3))
        about = turned.references[turned.kinds == kind, 0]
        element = [tokenizer.vocabulary.names[i] for i in turned.labels[about]]
        assert [NUMBER[e] for e in element] == turned.payload(kind, 1)[:, 0].tolist()
        order = tokenizer.answer_order(structure, np.random.default_rng(3))
        assert [symbols_of(structure)[i] for i in order] == element
        decoded = tokenizer.decode(sequence)
        order = tokenizer.base.atom_order(structure)
        assert symbols_of(decoded) == tuple(symbols_of(structure)[i] for i in order)
    model = tiny_model(tokenizer, tiny_config(axes=3))
    bare = [tokenizer.encode(s) for s in structures]
    together, alone = answers(model, bare), [answers(model, [s])[0] for s in bare]
    for one, two in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            one["<property:who>"], two["<property:who>"], rtol=1e-3, atol=1e-4
        )
