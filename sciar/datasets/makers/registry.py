"""Makers by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sciar.datasets.makers.base import Maker
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.haadf import HaadfMaker
from sciar.datasets.makers.poses import PoseMaker
from sciar.datasets.makers.pxrd import PxrdMaker
from sciar.datasets.makers.scenes import SceneMaker
from sciar.errors import UsageError

MAKERS: dict[str, type[Maker]] = {
    "dots": DotMaker,
    "scenes": SceneMaker,
    "poses": PoseMaker,
    "haadf": HaadfMaker,
    "pxrd": PxrdMaker,
}


def maker_of(name: str, options: Mapping[str, Any]) -> Maker:
    """A maker by its name, with its options.

    Raises:
        UsageError: an unknown name or option, or an option of the wrong type.
    """
    if name not in MAKERS:
        raise UsageError(f"nothing makes {name!r}; known are {', '.join(MAKERS)}")
    known = inspect.signature(MAKERS[name]).parameters
    unknown = [key for key in options if key not in known]
    if unknown:
        raise UsageError(f"{name} has no option {unknown[0]!r}; it takes {', '.join(known)}")
    try:
        return MAKERS[name](**options)
    except (TypeError, ValueError, IndexError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise UsageError(f"{name}: options of the wrong type: {given} ({error})") from error
