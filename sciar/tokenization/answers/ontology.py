"""Ontologies in OBO format: terms, their parents, and closed sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sciar.errors import RecordError, UsageError


class Ontology:
    """Terms and their parents by is-a and part-of.

    Args:
        parents: term -> its direct parents.
        namespaces: term -> its namespace, such as ``molecular_function``.
        aliases: old identifiers -> the term that stands for them.

    Raises:
        UsageError: a parent that is no term, or a cycle.
    """

    def __init__(
        self,
        parents: Mapping[str, Iterable[str]],
        namespaces: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.parents = {term: tuple(above) for term, above in parents.items()}
        self.namespaces, self.aliases = dict(namespaces or {}), dict(aliases or {})
        self._ancestors: dict[str, frozenset[str]] = {}
        for term, above in self.parents.items():
            missing = [parent for parent in above if parent not in self.parents]
            if missing:
                raise UsageError(f"ontology: the parent {missing[0]} of {term} is no term")
        self._close()

    def __contains__(self, term: str) -> bool:
        return term in self.parents

    def resolve(self, term: str) -> str:
        """The present identifier of a term.

        Raises:
            RecordError: unknown or obsolete.
        """
        found = self.aliases.get(term, term)
        if found not in self.parents:
            raise RecordError(f"the term {term} is unknown or obsolete in this ontology")
        return found

    def ancestors(self, term: str) -> frozenset[str]:
        """All terms above a term, without itself."""
        return self._ancestors[term]

    def closure(self, terms: Iterable[str]) -> set[str]:
        """The terms and everything above them."""
        closed = set(terms)
        for term in tuple(closed):
            closed |= self._ancestors[term]
        return closed

    def _close(self) -> None:
        """Ancestors of all terms, parents first, without recursion."""
        waiting = {term: set(above) for term, above in self.parents.items()}
        children: dict[str, list[str]] = {term: [] for term in self.parents}
        for term, above in self.parents.items():
            for parent in set(above):
                children[parent].append(term)
        ready = [term for term, above in waiting.items() if not above]
        while ready:
            term = ready.pop()
            above = self.parents[term]
            self._ancestors[term] = frozenset(above).union(*(self._ancestors[p] for p in above))
            for child in children[term]:
                waiting[child].discard(term)
                if not waiting[child]:
                    ready.append(child)
        if len(self._ancestors) != len(self.parents):
            cyclic = sorted(set(self.parents) - set(self._ancestors))
            raise UsageError(f"ontology: there is a cycle among {', '.join(cyclic[:5])}")


def read_obo(path: Path) -> Ontology:
    """An ontology file in OBO 1.2 or 1.4 format; obsolete terms are left out.

    Raises:
        UsageError: the file cannot be read, or holds no term.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as an OBO file ({error})") from error
    parents: dict[str, tuple[str, ...]] = {}
    namespaces: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for stanza in _terms(lines):
        (name,) = stanza.get("id", [""])[:1]
        if stanza.get("is_obsolete") == ["true"]:
            for replacement in stanza.get("replaced_by", [])[:1]:
                aliases[name] = replacement
            continue
        relations = stanza.get("relationship", [])
        part_of = [r.split()[-1] for r in relations if r.startswith("part_of ")]
        parents[name] = (*stanza.get("is_a", ()), *part_of)
        namespaces[name] = stanza.get("namespace", [""])[0]
        aliases.update(dict.fromkeys(stanza.get("alt_id", ()), name))
    if not parents:
        raise UsageError(f"{path}: no [Term] in this file; is it an OBO file?")
    return Ontology(parents, namespaces, aliases)


def _terms(lines: list[str]) -> Iterator[dict[str, list[str]]]:
    """Tag -> values of every ``[Term]`` stanza, without comments and qualifiers."""
    stanza: dict[str, list[str]] | None = None
    for line in [*lines, "["]:
        if line.startswith("["):
            if stanza:
                yield stanza
            stanza = {} if line.strip() == "[Term]" else None
        elif stanza is not None and ":" in line:
            tag, _, value = line.partition(":")
            text = value.split(" !")[0].split(" {")[0].strip()
            stanza.setdefault(tag.strip(), []).append(text)
