"""Small untrained models that write programs about images and patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sciar.api.model import Model
from sciar.datasets.makers.base import Maker, Picture
from sciar.datasets.makers.shards import Job
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.programs.observed import Observed, ObservedProgramTokenizer

IMAGE = {"kind": "image", "size": [16, 16], "patch": 4}
PATTERN = {"kind": "pattern", "grid": {"points": 64}, "patch": 16}


def tokenizer(language: str = "clevr", frame: Any = None, **options: Any) -> Any:
    """A tokenizer of small observations."""
    return ObservedProgramTokenizer(language, frame or IMAGE, **{"max_calls": 3, **options})


MIXTURE = HeadConfig("sciar.heads.mixture.MixtureHead", {"hidden": 8})


def network(
    made: ObservedProgramTokenizer, shake: float = 0.3, head: HeadConfig = MIXTURE
) -> AutoregressiveModel:
    """An untrained network in evaluation mode, whose every number is shaken."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    shape, channels = list(made.frame.shape), getattr(made.frame, "channels", 1)
    small = {"grid": shape, "channels": channels, "layers": 1, "width": 16, "heads": 2}
    heads = {"default": head}
    for slot in made.vocabulary.slots:
        if slot.geometry == "rotation":
            heads[slot.name] = HeadConfig("sciar.heads.point.RotationHead", {"hidden": 8})
    config = ModelConfig(
        decoder=DecoderConfig(layers=1, hidden=16, heads=2),
        heads=heads,
        inputs={made.frame.slot: InputConfig("sciar.nn.encoders.patches.PatchEncoder", small)},
        max_anchors=16,
    )
    model = AutoregressiveModel(made.vocabulary, 0, config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(shake * torch.randn_like(parameter))
    return model


def api_model(made: ObservedProgramTokenizer, maker: Maker | None = None) -> Model:
    """The same as a model of the API; a maker is the simulator that it names."""
    info: dict[str, Any] = {}
    if maker is not None:
        facts = {"maker": maker.name, "version": maker.version, "options": maker.options()}
        info["simulator"] = facts
    return Model(ModelFolder("untrained", network(made), made, {}, info, ""))


def pictures(maker: Maker, split: str, count: int) -> list[Picture]:
    """The first pictures of a split."""
    job = Job(maker, split, count)
    return [job.picture(i) for i in range(count)]


def observed(picture: Picture) -> Observed:
    """As tokenizers take it."""
    return Observed(picture.program, np.asarray(picture.image))
