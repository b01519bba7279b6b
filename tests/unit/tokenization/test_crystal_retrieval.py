"""Crystals with known structures as context: frames, leakage, requests, and with nothing known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cursor_walks import assert_replayed
from tiny_models import ELEMENTS, encoded, random_crystals, tiny_model

from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Crystal, Record, Structure
from sciar.retrieval.index import StructureIndex
from sciar.testing.comparison import assert_same_structure
from sciar.testing.tokenizers import TokenizerTests, assert_well_formed
from sciar.tokenization.cell import to_parameters
from sciar.tokenization.crystal_retrieval import (
    KNOWN_SHIFT,
    KNOWN_SITE,
    RetrievalCrystalTokenizer,
    retrieval_vocabulary,
)
from sciar.tokenization.layout import Slots
from sciar.tokenization.recalled import Recalled


def perovskite(a: str, b: str, x: str = "O", edge: float = 4.0, tilt: float = 0.0) -> Crystal:
    """ABX3 in its cubic cell, the third X pushed aside."""
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [tilt, 0.5, 0.5]]
    return Crystal(edge * np.eye(3), (a, b, x, x, x), frac)


KNOWN = {
    "srtio3": perovskite("Sr", "Ti", edge=3.9),
    "nacl-o3": perovskite("Na", "Cl", edge=4.4, tilt=0.06),
    "hticl3": perovskite("H", "Ti", "Cl", edge=4.9, tilt=0.04),
    "twin": perovskite("Ti", "Sr", edge=4.0),
    "nacl": Crystal(5.6 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]]),
}


def tokenizer(**options: Any) -> RetrievalCrystalTokenizer:
    """Few elements; it knows :data:`KNOWN`."""
    options = {"max_atoms": 8, "cell": "as-given", **options}
    made = RetrievalCrystalTokenizer(vocabulary=retrieval_vocabulary(ELEMENTS), **options)
    made.remember([Record(name, crystal) for name, crystal in KNOWN.items()])
    subjects = [made.subject(Record("x", c)) for c in (*KNOWN.values(), *random_crystals(8))]
    made.fit_statistics(subjects)
    return made


class TestContract(TokenizerTests):
    """The house rules hold for crystals without templates."""

    def make_tokenizer(self) -> RetrievalCrystalTokenizer:
        return tokenizer()

    def make_structures(self) -> Sequence[Structure]:
        return random_crystals(5)

    def make_inexpressible(self) -> Structure:
        return Crystal(np.eye(3) * 4, ("Zz",), np.zeros((1, 3)))


def without_twin() -> RetrievalCrystalTokenizer:
    """It knows perovskites with the large atom at the corner only."""
    made = tokenizer()
    made.know(StructureIndex.of((n, c) for n, c in KNOWN.items() if n != "twin"))
    return made


def recalled(made: RetrievalCrystalTokenizer, crystal: Crystal) -> Recalled:
    found = made.subject(Record("asked", crystal))
    assert isinstance(found, Recalled)
    return found


def test_no_structure_of_a_records_own_composition_is_its_template() -> None:
    """Also not in another cell, nor with the elements in each other's places."""
    made = tokenizer()
    for crystal in KNOWN.values():
        own = Counter(crystal.composition)
        for hit in recalled(made, crystal).hits:
            assert made.index is not None
            found = made.index.crystal(hit.entry).composition
            assert found != own and not hit.same
    names = {hit.id for hit in recalled(made, KNOWN["srtio3"]).hits}
    assert names == {"nacl-o3", "hticl3"}
    double = Crystal(
        np.diag([4.0, 4, 8]),
        KNOWN["srtio3"].species * 2,
        np.concatenate([KNOWN["srtio3"].frac / [1, 1, 2], KNOWN["srtio3"].frac / [1, 1, 2] + 0.5]),
    )
    assert not {"srtio3", "twin"} & {hit.id for hit in recalled(made, double).hits}


def test_where_all_are_of_one_composition_only_the_record_itself_is_left_out() -> None:
    made = tokenizer(leave_out="entry")
    subject = made.subject(Record("srtio3", KNOWN["srtio3"]))
    assert isinstance(subject, Recalled) and len(subject.hits) == 3
    assert subject.hits[0].id == "twin" and "srtio3" not in {hit.id for hit in subject.hits}


@pytest.mark.parametrize("cell", ["as-given", "niggli"])
@pytest.mark.parametrize("seed", range(6))
def test_a_crystal_survives_in_the_frame_of_its_template(cell: str, seed: int) -> None:
    made = tokenizer(cell=cell)
    rng = np.random.default_rng(seed)
    crystal = perovskite("Na", "Ti", edge=4.2, tilt=0.03)
    order = rng.permutation(5)
    turned = Crystal(
        crystal.lattice,
        tuple(crystal.species[i] for i in order),
        crystal.frac[order] + rng.random(3),
    )
    subject = recalled(made, turned)
    assert len(subject.hits) == 3
    for augment in (None, *(np.random.default_rng((seed, i)) for i in range(6))):
        sequence = made.encode(subject, augment=augment)
        assert_well_formed(sequence, made.vocabulary)
        assert_same_structure(made.decode(sequence), turned, 1e-3)
        fields = made.layout.split(made.vocabulary, sequence)
        again = made.layout.assemble(made.vocabulary, fields)
        np.testing.assert_array_equal(again.values, sequence.values)
        np.testing.assert_array_equal(again.references, sequence.references)


def test_sites_refer_to_their_site_of_the_first_template() -> None:
    made = without_twin()
    crystal = perovskite("Na", "Ti", edge=4.2, tilt=0.03)
    subject = recalled(made, crystal)
    sequence = made.encode(subject)
    sites = np.flatnonzero(sequence.kinds == made.vocabulary.kind("<site>"))
    told = np.flatnonzero(sequence.kinds == made.vocabulary.kind(KNOWN_SITE))
    np.testing.assert_array_equal(sequence.references[sites, 0], told)
    np.testing.assert_array_equal(sequence.anchors[sites], sequence.anchors[told])
    gap = sequence.values[sites, :3] - sequence.values[told, :3]
    # All of them are one prototype: nothing but the tilt differs.
    assert np.abs(gap - np.rint(gap)).max() < 0.065
    assert (sequence.kinds == made.vocabulary.kind(KNOWN_SHIFT)).sum() == 10
    # Labels say what the known structure has there.
    was = [made.vocabulary.names[i] for i in sequence.labels[told]]
    assert Counter(was) == KNOWN[subject.hits[0].id].composition
    strain = made.layout.split(made.vocabulary, sequence)["strain"]
    assert isinstance(strain, Slots)
    first = made.index.template(subject.hits[0])  # type: ignore[union-attr]
    away = to_parameters(crystal.lattice, 5) - to_parameters(first.lattice, 5)
    np.testing.assert_allclose(strain.values[0], away, atol=1e-6)
    order = made.atom_order(subject)
    names = [made.vocabulary.names[i] for i in sequence.labels[sites]]
    assert [crystal.species[i] for i in order] == names
    atoms = made.atoms_of(subject, sequence)
    assert [atoms[i] for i in sites] == order and {atoms[i] for i in told} == {None}


def test_the_number_of_templates_is_drawn_for_each_augmented_copy() -> None:
    made = tokenizer()
    subject = recalled(made, perovskite("Na", "Ti"))
    counts = Counter(
        int((made.encode(subject, augment=np.random.default_rng(i)).kinds == site).sum())
        for i in range(200)
        for site in [made.vocabulary.kind("<known-cell>")]
    )
    assert counts[0] == pytest.approx(50, abs=25)
    lengths = Counter(
        len(made.encode(subject, augment=np.random.default_rng(i))) for i in range(200)
    )
    assert len(lengths) == 4 and min(lengths.values()) > 25
    assert len(made.encode(subject)) == max(lengths)


def test_generation_begins_with_the_prompt_of_training() -> None:
    made = tokenizer()
    crystal = perovskite("Na", "Ti", edge=4.2, tilt=0.03)
    subject = recalled(made, crystal)
    for count in range(4):
        request = made.request(
            {"composition": dict(crystal.composition), "templates": count, "exclude": True}
        )
        known = Recalled(crystal, subject.hits[:count], subject.index)
        wanted = made.encode(known if count else crystal)
        assert_replayed(made, request, wanted)
        assert [h.id for h in request.constraints["retrieved"]] == [
            h.id for h in subject.hits[:count]
        ]


def test_templates_can_be_named_and_bad_ones_are_refused() -> None:
    made = tokenizer()
    request = made.request({"composition": "Na Ti O3", "templates": ["twin"]})
    assert [hit.id for hit in request.constraints["retrieved"]] == ["twin"]
    for wrong, error in (
        ({"templates": 4}, UsageError),
        ({"templates": ["nowhere"]}, UsageError),
        ({"templates": ["nacl"]}, RecordError),
    ):
        with pytest.raises(error):
            made.request({"composition": "Na Ti O3", **wrong})
    # The composition itself is found, unless it is left out.
    asked = {"composition": "Sr Ti O3", "templates": 1}
    assert made.request(asked).constraints["retrieved"][0].same
    assert not made.request({**asked, "exclude": True}).constraints["retrieved"][0].same
    assert made.request({"composition": "Ti7"}).constraints["retrieved"] == ()


def test_one_model_does_with_and_without() -> None:
    made = tokenizer()
    model = tiny_model(made, shake=0.02)
    crystal = perovskite("Na", "Ti")
    losses = NextTokenObjective(noise=0.02).losses(
        model, encoded(made, [recalled(made, crystal), crystal]), salt=1
    )
    assert losses["<site>"][1] == 8 and losses["<strain>"][1] == losses["<lattice>"][1] == 1
    asked = [
        made.request({"composition": "Na Ti O3", "templates": count}, str(count))
        for count in (0, 1, 3)
    ]
    jobs = [Job(request, i) for i, request in enumerate(asked)]
    settings = GenerationSettings.of({}, seed=3, steps=4)
    drawn = sorted(Engine(model, made, settings).run(jobs), key=lambda d: d.job.index)
    found = [made.decode(d.sequence) for d in drawn]
    assert [len(c) for c in found] == [5, 5, 5]
    alone = [next(iter(Engine(model, made, settings).run([job]))) for job in jobs]
    for one, other in zip(alone, drawn, strict=True):
        np.testing.assert_allclose(one.sequence.values, other.sequence.values, atol=1e-3)


def test_torus_sites_are_predicted_relative_to_their_reference() -> None:
    """Moving a template and the crystal together changes no target of the sites."""
    made = without_twin()
    model = tiny_model(made)
    subject = recalled(made, perovskite("Na", "Ti", tilt=0.03))
    pack = encoded(made, [subject])
    kind = made.vocabulary.kind("<site>")
    at = (pack.kinds == kind).nonzero().squeeze(1)
    _, inputs = model(pack)
    after = type(inputs.next)(**{k: v[at - 1] for k, v in vars(inputs.next).items()})
    target = model.target(kind, pack.values[at], after)
    assert (target - target.round()).abs().max() < 0.07
    back = model.payload(kind, target, after)
    gap = back - pack.values[at][:, :3]
    assert (gap - gap.round()).abs().max() < 1e-6


def test_what_is_known_goes_with_the_model(tmp_path: Path) -> None:
    made = tokenizer()
    for name, data in made.belongings().items():
        (tmp_path / name).write_bytes(data)
    other = RetrievalCrystalTokenizer(**made.config(), vocabulary=made.vocabulary)
    assert other.fingerprint == made.fingerprint and other.index is None
    assert other.belongings() == {}
    other.find_belongings(str(tmp_path))
    assert other.index is not None and other.index.ids == list(KNOWN)
    other.know(StructureIndex.of([("mine", KNOWN["twin"])]))
    assert [h.id for h in other.recall({"Na": 1, "Ti": 1, "O": 3})] == ["mine"]
    other.find_belongings(str(tmp_path / "elsewhere"))
    assert other.index is not None  # a user's own stay
    other.know(None)
    assert other.index is None
    # With nothing known it still makes crystals.
    assert other.request({"composition": "Na Ti O3"}).constraints["retrieved"] == ()


@pytest.mark.parametrize(
    "wrong", [{"templates": 0}, {"templates": 4}, {"similarity": "colour"}, {"leave_out": "all"}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RetrievalCrystalTokenizer(**wrong)
