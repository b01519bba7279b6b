"""How samples are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings


@dataclass(frozen=True)
class GenerationSettings:
    """Options of one run.

    Attributes:
        batch_size: sequences in the making at once. It never changes the samples.
        temperature: of the words; 0 takes the most likely.
        temperatures: of words that are announced under a label, in place of ``temperature``; such
            as ``<level-0>`` for the labels of an octree's points.
        top_p: nucleus of the words.
        payload: sampler of the payload heads.
        seed: together with a sample's index it fixes the sample.
        retries: how often a failed structure is drawn again (each attempt is counted).
        score: also compute the log-density of the payloads, in their standardised numbers and at
            temperature 1, whatever the sampler (a flow head costs about three more evaluations for
            each number of a payload; a diffusion head follows its ODE over 100 levels).
        max_tokens: longest sequence; a sample that grows beyond it fails.
        at_once: words whose places are known before any of them (a level of an octree) are drawn in
            one pass, each without seeing the others; for networks with private questions, trained
            with the same option of their objective.
        threshold: least chance with which a member of a ranked list is taken
            (:mod:`sciar.generation.ranked`), in place of sampling it; ``None`` samples it.
        offsets: of symbols, added to their log-probabilities before a word is taken, such as those
            that let rare classes be found (:func:`sciar.evaluation.calibration.fit_offsets`);
            probabilities are told without them.
        guidance: scale of classifier-free guidance for requests with conditions. 0: the conditions
            are not told at all; 1: the model as it was trained; more: they are stressed, by drawing
            every word and number from a mixture of the model told and not told. Other scales than 0
            and 1 make each such sample two rows of the batch.
        trace: keep the distribution of every sampled word (:class:`~sciar.generation.engine.Step`).
    """

    batch_size: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    payload: SamplerSettings = field(default_factory=SamplerSettings)
    seed: int = 0
    retries: int = 0
    score: bool = False
    max_tokens: int = 4096
    at_once: bool = False
    temperatures: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    offsets: Mapping[str, float] = field(default_factory=dict)
    trace: bool = False
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError("batch_size must be at least 1")
        if not 0 < self.top_p <= 1:
            raise UsageError("top_p must lie in (0, 1]")
        heats = (self.temperature, self.payload.temperature, *self.temperatures.values())
        if min(heats) < 0:
            raise UsageError("temperature must not be negative")
        if not math.isfinite(self.guidance):
            raise UsageError(f"guidance is a number, not {self.guidance}")
        if self.payload.steps < 0:
            raise UsageError("steps must not be negative")

    @property
    def guided(self) -> bool:
        """Whether words and numbers are drawn from mixtures."""
        return self.guidance not in (0.0, 1.0)

    @classmethod
    def of(cls, defaults: dict[str, Any], **given: Any) -> GenerationSettings:
        """A model's stored defaults, overridden by what is given and not ``None``."""
        payload_names = {"steps": "steps", "method": "method", "anneal": "anneal"}
        payload_names["payload_temperature"] = "temperature"
        merged = {**defaults, **{k: v for k, v in given.items() if v is not None}}
        payload = {payload_names[k]: merged.pop(k) for k in list(merged) if k in payload_names}
        unknown = set(merged) - {f.name for f in fields(cls)}
        if unknown:
            raise UsageError(f"unknown sampling options: {', '.join(sorted(unknown))}")
        return cls(payload=SamplerSettings(**payload), **merged)
