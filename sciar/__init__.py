"""SciAR: one autoregressive decoder for scientific structure.

``load`` gives a :class:`Model`, its ``generate`` gives samples, ``evaluate`` scores structures of
any origin, ``design`` looks for those that an objective likes. They are imported when first used,
so that ``import sciar`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciar.api import Model as Model
    from sciar.api import design as design
    from sciar.api import evaluate as evaluate
    from sciar.api import load as load

__version__ = "0.1.0"

__all__ = ["Model", "__version__", "design", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    if name not in ("Model", "design", "evaluate", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sciar import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
