"""The Python interface: ``load`` a model, ``generate`` structures, ``evaluate`` them."""

from sciar.api.annotate import Annotator
from sciar.api.answers import Answer
from sciar.api.evaluation import Evaluation, evaluate
from sciar.api.model import Model, load
from sciar.api.properties import Prediction
from sciar.api.samples import Sample

__all__ = ["Annotator", "Answer", "Evaluation", "Model", "Prediction", "Sample", "evaluate", "load"]
