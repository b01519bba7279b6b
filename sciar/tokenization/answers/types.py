"""The types of answers by the names that a task entry uses."""

from __future__ import annotations

from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.candidate_sites import CandidateSites
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.digits import Digits
from sciar.tokenization.answers.label_position import ClassAndPosition
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.pointing import Copying, Pointing
from sciar.tokenization.answers.single import SingleClass
from sciar.tokenization.answers.site_labels import SiteLabels
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.structure_string import StructureString
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree

TYPES: dict[str, type[AnswerCodec]] = {
    "single": SingleClass,
    "multi": MultiLabel,
    "tree": Tree,
    "terms": Terms,
    "digits": Digits,
    "number": Number,
    "class_and_position": ClassAndPosition,
    "per_residue": PerResidue,
    "structure_string": StructureString,
    "sites": Sites,
    "candidate_sites": CandidateSites,
    "site_labels": SiteLabels,
    "contacts": Contacts,
    "pointing": Pointing,
    "copying": Copying,
}
