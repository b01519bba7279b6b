"""OBO files: parents, aliases, obsolete terms, cycles."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciar.errors import RecordError, UsageError
from sciar.tokenization.answers.ontology import Ontology, read_obo

OBO = """format-version: 1.4
id: not-a-term

[Term]
id: GO:0000001
name: root
namespace: biological_process

[Term]
id: GO:0000002
namespace: biological_process
alt_id: GO:0000009
is_a: GO:0000001 {source="x"} ! root
relationship: regulates GO:0000003 ! not closed over

[Term]
id: GO:0000003
namespace: biological_process
relationship: part_of GO:0000002 ! middle

[Term]
id: GO:0000004
is_obsolete: true
replaced_by: GO:0000003

[Term]
id: GO:0000005
is_obsolete: true

[Typedef]
id: part_of
is_a: GO:0000005
"""


@pytest.fixture
def ontology(tmp_path: Path) -> Ontology:
    path = tmp_path / "go.obo"
    path.write_text(OBO)
    return read_obo(path)


def test_terms_and_their_ancestors(ontology: Ontology) -> None:
    assert set(ontology.parents) == {"GO:0000001", "GO:0000002", "GO:0000003"}
    assert ontology.ancestors("GO:0000003") == {"GO:0000001", "GO:0000002"}
    assert ontology.closure(["GO:0000002"]) == {"GO:0000001", "GO:0000002"}
    assert ontology.closure([]) == set()
    assert ontology.namespaces["GO:0000001"] == "biological_process"


def test_old_identifiers(ontology: Ontology) -> None:
    assert ontology.resolve("GO:0000009") == "GO:0000002"
    assert ontology.resolve("GO:0000004") == "GO:0000003"
    for term in ("GO:0000005", "GO:7"):
        with pytest.raises(RecordError, match="unknown or obsolete"):
            ontology.resolve(term)


def test_damaged_ontologies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cycle among a, b"):
        Ontology({"a": ["b"], "b": ["a"], "c": []})
    with pytest.raises(UsageError, match="the parent x of a"):
        Ontology({"a": ["x"]})
    path = tmp_path / "empty.obo"
    path.write_text("nothing\n")
    with pytest.raises(UsageError, match="no \\[Term\\]"):
        read_obo(path)
    with pytest.raises(UsageError, match=r"absent\.obo"):
        read_obo(tmp_path / "absent.obo")


def test_deep_ontologies_need_no_recursion() -> None:
    chain = {f"t{i}": [f"t{i - 1}"] if i else [] for i in range(1500)}
    assert len(Ontology(chain).ancestors("t1499")) == 1499
