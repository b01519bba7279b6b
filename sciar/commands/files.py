"""What commands write: JSON, rows and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.datasets.files import replace_file, unwritable, write_json

if TYPE_CHECKING:
    from sciar.evaluation.report import Section

__all__ = ["replace_file", "write_json", "write_page"]


def write_page(path: str | Path, title: str, sections: Sequence[Section], **more: Any) -> Path:
    """Write a report; see :func:`sciar.evaluation.report.write_report`.

    Raises:
        UsageError: no space, no permission; nothing is left behind.
    """
    from sciar.evaluation.report import write_report

    try:
        return write_report(path, title=title, sections=sections, **more)
    except OSError as error:
        raise unwritable(Path(path), error) from error
