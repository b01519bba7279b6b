"""Known structures: which of them are like a composition, and what they become for it.

An index holds crystals as flat arrays and finds, for a composition, those with the same pattern of
counts whose elements are most alike. It knows records and nothing of tokens, networks or metrics.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciar.retrieval.index import Hit as Hit
    from sciar.retrieval.index import StructureIndex as StructureIndex
    from sciar.retrieval.store import load_index as load_index
    from sciar.retrieval.store import save_index as save_index
    from sciar.retrieval.substitution import substituted as substituted

_HOMES = {
    "Hit": "index",
    "StructureIndex": "index",
    "load_index": "store",
    "save_index": "store",
    "substituted": "substitution",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
