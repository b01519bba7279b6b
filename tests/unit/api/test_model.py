"""Loading, generating and saving through the Python interface."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

import sciar
from sciar.errors import ModelError, RecordError, UsageError
from sciar.records import Crystal, Molecule, Record


def random_compositions(count: int) -> list[dict[str, int]]:
    rng = np.random.default_rng(0)
    elements = ["Li", "O", "Fe", "Na", "Cl", "C", "Si", "Ba", "Ti", "N", "U", "H"]
    found = []
    for _ in range(count):
        chosen = rng.choice(elements, rng.integers(1, 5), replace=False)
        found.append({str(e): int(rng.integers(1, 6)) for e in chosen})
    return found


def test_a_composition_given_is_a_composition_kept() -> None:
    asked = random_compositions(200)
    samples = sciar.load("csp").generate(compositions=asked, retries=8)
    assert [s.index for s in samples] == list(range(200))
    kept = [(s, wanted) for s, wanted in zip(samples, asked, strict=True) if s.ok]
    assert len(kept) > 150
    for sample, wanted in kept:
        assert isinstance(sample.record, Crystal)
        assert sample.record.composition == Counter(wanted)
        assert dict(sample.structure.composition.get_el_amt_dict()) == wanted


@pytest.mark.parametrize("size", [1, 7])
def test_batch_size_does_not_change_samples(size: int) -> None:
    model = sciar.load("denovo")
    wanted = model.generate(n=12, seed=3, batch_size=64)
    for a, b in zip(wanted, model.generate(n=12, seed=3, batch_size=size), strict=True):
        assert (a.id, a.status, a.message) == (b.id, b.status, b.message)
        if isinstance(a.record, Crystal) and isinstance(b.record, Crystal):
            assert a.record.species == b.record.species
            np.testing.assert_allclose(a.record.lattice, b.record.lattice, atol=1e-3)
            shift = a.record.frac - b.record.frac
            moved = (shift - np.round(shift)) @ a.record.lattice
            assert np.abs(moved).max() < 1e-3
    other = model.generate(n=12, seed=4)
    assert any(
        a.record.species != b.record.species
        for a, b in zip(wanted, other, strict=True)
        if isinstance(a.record, Crystal) and isinstance(b.record, Crystal)
    )


def test_chemical_system_and_size_hold() -> None:
    samples = sciar.load("denovo").generate(elements="Li,O", max_atoms=5, n=10, retries=5)
    made = [s.record for s in samples if isinstance(s.record, Crystal)]
    assert made
    assert all(set(c.species) == {"Li", "O"} and len(c) <= 5 for c in made)


def test_a_bad_item_of_a_list_is_one_failed_sample() -> None:
    samples = sciar.load("csp").generate(compositions=["NaCl", "Xx3", "C21", "MgO"], n=2)
    bad = [s for s in samples if s.attempts == 0]
    assert [(s.index, s.status, s.structure) for s in bad] == [
        (2, "failed", None),
        (4, "failed", None),
    ]
    assert "Xx" in bad[0].message and "at most 20" in bad[1].message
    alone = sciar.load("csp").generate(compositions=["NaCl", "MgO", "C21", "MgO"], n=2)
    for a, b in zip(samples[-2:], alone[-2:], strict=True):  # its neighbours do not matter
        assert a.index == b.index
        assert isinstance(a.record, Crystal) and isinstance(b.record, Crystal)
        np.testing.assert_allclose(a.record.lattice, b.record.lattice, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"composition": "Xx3"}, RecordError, "no element"),
        ({"composition": "C21"}, RecordError, "at most 20"),
        ({}, UsageError, "give one"),
        ({"smiles": "CC"}, UsageError, "crystals"),
        ({"composition": "C", "compositions": ["C"]}, UsageError, "only one"),
        ({"compositions": []}, UsageError, "empty"),
        ({"composition": "C", "n": 0}, UsageError, "at least 1"),
        ({"composition": "C", "top_p": 2.0}, UsageError, "top_p"),
        ({"composition": "C", "warmth": 2.0}, UsageError, "warmth"),
    ],
)
def test_wrong_requests_raise(
    arguments: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        sciar.load("csp").generate(**arguments)


def test_records_keep_their_ids() -> None:
    crystal = Crystal(np.eye(3) * 4, ("Na", "Cl"), np.zeros((2, 3)))
    records = [Record("mp-7", crystal), Record("benzene", Molecule(("C",), None, smiles="C"))]
    samples = sciar.load("csp").generate(records=records, n=2)
    assert [(s.id, s.input) for s in samples][:2] == [("mp-7_0", "mp-7"), ("mp-7_1", "mp-7")]
    assert samples[2].id == "benzene_0" and "molecule" in samples[2].message


def test_conversions() -> None:
    sample = next(s for s in sciar.load("csp").stream(composition="Na2 Cl2", n=8) if s.ok)
    atoms, data = sample.to_ase(), sample.to_pyg()
    assert atoms.pbc.all() and len(atoms) == 4
    np.testing.assert_allclose(data.pos.numpy(), atoms.get_positions(), atol=1e-4)
    np.testing.assert_allclose((data.frac @ data.cell[0]).numpy(), data.pos.numpy(), atol=1e-4)
    assert sorted(data.z.tolist()) == [11, 11, 17, 17]
    np.testing.assert_allclose(sample.structure.lattice.matrix, sample.record.lattice)


def test_molecules_have_conformers() -> None:
    samples = sciar.load("conformer").generate(smiles=["CCO", "C1CC(", "O"], n=1, logp=True)
    assert samples[1].status == "failed" and "C1CC(" in samples[1].message
    for sample in (samples[0], samples[2]):
        assert sample.logp is not None and np.isfinite(sample.logp) and sample.logp != 0
        if sample.ok:
            assert sample.structure.GetNumConformers() == 1
            assert not sample.to_ase().pbc.any()
            assert len(sample.to_pyg().pos) == sample.structure.GetNumAtoms()
        else:
            with pytest.raises(RecordError, match="no structure"):
                sample.to_ase()


def test_saved_models_make_the_same(tmp_path: Path) -> None:
    model = sciar.load("csp")
    again = sciar.load(model.save(tmp_path / "copy"))
    a, b = (m.generate(composition="Na2 Cl2", seed=5)[0] for m in (model, again))
    assert (a.record is None) == (b.record is None)
    if isinstance(a.record, Crystal) and isinstance(b.record, Crystal):
        np.testing.assert_array_equal(a.record.frac, b.record.frac)
    assert again.card == model.card and again.tokenizer.fingerprint == model.tokenizer.fingerprint


def test_no_disk_space_for_a_model_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sciar.load("csp")
    folder = model.save(tmp_path / "copy")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="No space left on device"):
        model.save(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]  # nothing half-written beside it
    assert sciar.load(folder).tokenizer.fingerprint == model.tokenizer.fingerprint


def test_attempts_that_failed_keep_their_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciar.commands.counts import Counts
    from sciar.tokenization.crystal import CrystalTokenizer

    verdicts = iter(["too wide", "too small", "", "", "too wide"])
    monkeypatch.setattr(CrystalTokenizer, "verify", lambda *_: next(verdicts))
    (sample,) = sciar.load("csp").generate(composition="Na2 Cl2", retries=5)
    assert sample.ok and sample.attempts == 3 and sample.earlier == ("too wide", "too small")
    assert sample.facts()["earlier"] == "too wide; too small"
    assert sample.to_record().properties["earlier"] == "too wide; too small"
    counts = Counts.of([sample], 1)
    assert counts.failures == {} and counts.redrawn == {"too wide": 1, "too small": 1}
    assert "1 x too wide (drawn again)" in counts.line()


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match=r"nonesuch.*conformer, csp, denovo"):
        sciar.load("nonesuch")
    with pytest.raises(UsageError, match="device"):
        sciar.load("csp", device="warp-drive")


def test_damaged_folders_are_refused(zoo_folder: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(zoo_folder / "csp", tmp_path / name))

    flipped = copy("flipped")
    data = bytearray((flipped / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (flipped / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(ModelError, match="checksum"):
        sciar.load(flipped)

    def edited(name: str, change: dict[str, object]) -> Path:
        folder = copy(name)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        for key, value in change.items():
            (config["tokenizer"]["init_args"] if key == "max_atoms" else config)[key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    with pytest.raises(ModelError, match="fingerprint"):
        sciar.load(edited("other", {"max_atoms": 5}))
    with pytest.raises(ModelError, match="newer SciAR"):
        sciar.load(edited("newer", {"format": 99}))


def test_a_rejected_structure_is_kept_beside_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciar.tokenization.crystal import CrystalTokenizer

    monkeypatch.setattr(CrystalTokenizer, "verify", lambda *_: "never good enough")
    sample = sciar.load("csp").generate(composition="Na2 Cl2")[0]
    assert sample.structure is None and sample.record is None and not sample.ok
    assert sample.parsed and isinstance(sample.rejected, Crystal)
    record = sample.to_raw_record(model="csp")
    assert record.structure is sample.rejected
    assert record.properties["status"] == "rejected"
    assert record.properties["message"] == "never good enough"
    with pytest.raises(RecordError, match="no structure"):
        sample.to_record()

    found = sciar.evaluate("crystals", [sample], task="denovo", train=[sample], bootstrap=0)
    assert found.summary["parsed"]["count"] == 0
    assert found.samples.to_dict() == {
        "selection": "kept",
        "requested": 1,
        "drawn": 1,
        "parsed": 1,
        "kept": 0,
        "missing": 1,
    }
    raw = sciar.evaluate(
        "crystals", [sample], task="denovo", train=[sample], selection="raw", bootstrap=0
    )
    assert raw.summary["parsed"]["count"] == 1 and raw.samples.missing == 0
    with pytest.raises(UsageError, match="selection"):
        sciar.evaluate("crystals", [sample], train=[sample], selection="best")


def test_a_list_of_conditions_asks_for_several_things() -> None:
    model = sciar.load("csp")
    wanted = ["Na2 Cl2", "MgO", "Xx"]
    by_name = model.generate(conditions=[{"composition": c} for c in wanted], retries=5)
    plain = model.generate(compositions=wanted, retries=5)
    assert [(s.id, s.status, s.logp) for s in by_name] == [(s.id, s.status, s.logp) for s in plain]
    assert "Xx" in by_name[2].message
    with pytest.raises(UsageError, match="only one"):
        model.generate(conditions=[{"composition": "C"}], compositions=["C"])


def test_one_run_may_hold_both_kinds() -> None:
    crystal = Crystal(np.eye(3) * 4, ("Na", "Cl"), np.zeros((2, 3)))
    records = [Record("salt", crystal), Record("methane", Molecule(("C",), None, smiles="C"))]
    stream = sciar.load("unified").stream(records=records, retries=5)
    assert stream.kinds == ("crystals", "molecules")
    found = {s.input: s.record for s in stream if s.ok}
    assert found and all(
        isinstance(r, Crystal if name == "salt" else Molecule) for name, r in found.items()
    )
