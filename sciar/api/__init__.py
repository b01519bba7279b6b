"""The Python interface: ``load`` a model, ``generate``, ``evaluate`` and ``design``."""

from sciar.api.annotate import Annotator
from sciar.api.answers import Answer
from sciar.api.designs import design
from sciar.api.evaluation import Evaluation, evaluate
from sciar.api.model import Model, load
from sciar.api.properties import Prediction
from sciar.api.samples import Sample

__all__ = [
    "Annotator", "Answer", "Evaluation", "Model", "Prediction", "Sample", "design", "evaluate",
    "load",
]  # fmt: skip
