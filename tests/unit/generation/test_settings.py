"""Sampling options: defaults of a model, overridden by the user, checked."""

from __future__ import annotations

from typing import Any

import pytest

from sciar.errors import UsageError
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings


def test_given_options_win_over_stored_ones() -> None:
    stored = {"steps": 8, "temperature": 0.7, "anneal": 2.0}
    settings = GenerationSettings.of(stored, steps=30, batch_size=4, method=None)
    assert settings == GenerationSettings(
        batch_size=4, temperature=0.7, payload=SamplerSettings(steps=30, anneal=2.0)
    )


def test_payload_temperature_is_not_that_of_the_words() -> None:
    settings = GenerationSettings.of({}, payload_temperature=0.5)
    assert (settings.temperature, settings.payload.temperature) == (1.0, 0.5)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UsageError, match="tempreature"):
        GenerationSettings.of({}, tempreature=1.0)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": -1.0},
     {"payload_temperature": -0.1}, {"steps": -1}],
)  # fmt: skip
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GenerationSettings.of({}, **options)
