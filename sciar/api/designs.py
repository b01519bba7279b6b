"""``sciar.design``: structures of a model that an objective likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.designing.learning import LearningSettings
from sciar.designing.objectives import Objective, objective_of
from sciar.designing.run import Design, DesignSettings, run_design
from sciar.errors import UsageError
from sciar.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from sciar.api.model import Model


def design(
    model: Model | str | Path,
    objective: Objective | str,
    out: str | Path,
    *,
    conditions: dict[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
    learning: dict[str, Any] | None = None,
    sampling: dict[str, Any] | None = None,
    **settings: Any,
) -> Design:
    """Draw structures, score them, and turn a copy of the model towards the best.

    Args:
        model: a model, its name, or its folder.
        objective: a callable that takes a structure (:class:`~sciar.records.Crystal` or
            :class:`~sciar.records.Molecule`) and gives a number, larger for better; or a text, see
            :func:`~sciar.designing.objectives.objective_of`. Whatever it raises, returns or takes
            too long over becomes a row of the table and is worth nothing.
        out: folder of the run; the same call goes on with it.
        conditions: what is asked of every sample, as of ``Model.generate``.
        tell: takes a line after each round.
        learning: options of :class:`~sciar.designing.learning.LearningSettings`.
        sampling: options of :class:`~sciar.generation.settings.GenerationSettings`.
        settings: of :class:`~sciar.designing.run.DesignSettings`: ``method``, ``rounds``, ``n``,
            ``keep``, ``seed``, ``jobs``, ``timeout``, ``bucket``, ``similarity``.

    Raises:
        UsageError: an unknown option or objective, or a folder of another run.
        RecordError: bad conditions.
    """
    from sciar.api.model import Model, load

    loaded = model if isinstance(model, Model) else load(model)
    try:
        chosen = DesignSettings(learning=LearningSettings(**(learning or {})), **settings)
    except TypeError as error:
        raise UsageError(f"design takes other options ({error})") from error
    content = loaded.content
    if not content.tokenizer.makes:
        raise UsageError(f"{content.name} makes no structures")
    request = content.tokenizer.request(conditions or {}, "design")
    drawn = GenerationSettings.of(content.sampling, **(sampling or {}))
    function = objective_of(objective)
    name = objective if isinstance(objective, str) else _name_of(objective)
    name = f"{name} {sorted((conditions or {}).items(), key=str)}"
    return run_design(content, function, request, out, chosen, drawn, name, tell)


def _name_of(objective: Any) -> str:
    target = getattr(objective, "func", objective)
    kind = target if hasattr(target, "__qualname__") else type(target)
    return f"{kind.__module__}.{kind.__qualname__}"
