"""Metrics on structures, whatever program made them.

Takes SciAR's records, pymatgen structures and RDKit molecules, never tensors of a model. The
chemistry libraries are imported when a metric is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciar.evaluation.conformers import evaluate_conformers as evaluate_conformers
    from sciar.evaluation.contingency import Contingency as Contingency
    from sciar.evaluation.csp import evaluate_csp as evaluate_csp
    from sciar.evaluation.denovo_crystals import (
        evaluate_denovo_crystals as evaluate_denovo_crystals,
    )
    from sciar.evaluation.etkdg import etkdg_baseline as etkdg_baseline
    from sciar.evaluation.molecules import evaluate_molecules as evaluate_molecules
    from sciar.evaluation.plausibility import posebusters_checks as posebusters_checks
    from sciar.evaluation.published import published_csp as published_csp
    from sciar.evaluation.segmentation import segmentation_scores as segmentation_scores
    from sciar.evaluation.tables import format_table as format_table
    from sciar.evaluation.template import TemplateBaseline as TemplateBaseline
    from sciar.evaluation.template import best_similarity as best_similarity

_HOMES = {
    "Contingency": "contingency",
    "TemplateBaseline": "template",
    "best_similarity": "template",
    "etkdg_baseline": "etkdg",
    "evaluate_conformers": "conformers",
    "evaluate_csp": "csp",
    "evaluate_denovo_crystals": "denovo_crystals",
    "evaluate_molecules": "molecules",
    "format_table": "tables",
    "posebusters_checks": "plausibility",
    "published_csp": "published",
    "segmentation_scores": "segmentation",
}

# the name of a function and of a module may be the same; an explicit import of the module
# (sciar.evaluation.plausibility) then gives the module
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
