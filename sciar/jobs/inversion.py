"""The job of ``sciar invert``: images or patterns of a file or folder, described by a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sciar.datasets.observations import Observation, fitted, read_observations
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.jobs.proteins import device_of, model_identity
from sciar.jobs.rows import Answer
from sciar.jobs.source import FileSource


class Invert:
    """A worker that decodes observations; see :class:`sciar.jobs.worker.Worker`.

    Its tasks are ``program`` (text), ``calls`` (JSON: arguments and intervals) and, if programs are
    verified, ``residual``.

    Args:
        model: name or folder, here and on every node of a cluster.
        device: where it runs; ``auto`` takes a GPU if there is one.
        fit: bring images of other sizes and modes to what the model reads.
        options: of :class:`~sciar.api.inversion.InversionSettings`.

    Raises:
        UsageError: no such model, or it describes no observations.
        ModelError: the model folder is damaged, or names no simulator to verify with.
    """

    def __init__(self, model: str, device: str = "auto", fit: bool = False, **options: Any) -> None:
        from sciar import api
        from sciar.api.inversion import InversionSettings, invert

        self._model = api.load(model, device_of(device))
        self._settings = InversionSettings(**options)
        self._fit = fit
        self.tasks = {"program": "text", "calls": "text"}
        if self._settings.verify:
            self.tasks["residual"] = "number"
        self._identity = {
            **model_identity(model, self._model),
            "fit": fit,
            **{k: v for k, v in vars(self._settings).items() if k != "batch_size"},
        }
        # The settings are checked against the model before any record is read.
        invert(self._model, [], self._settings)

    def identity(self) -> dict[str, Any]:
        """Fingerprints of the model, and all settings that change a row."""
        return dict(self._identity)

    def tokens(self, record: Observation) -> int:
        """Longest sequence, once for each program that is drawn."""
        tokenizer: Any = self._model.tokenizer
        return int(tokenizer.longest) * self._settings.samples

    def run(self, records: Sequence[Observation]) -> list[list[Answer]]:
        """One answer a task for each observation."""
        from sciar.api.inversion import invert

        seen = [(r.id, prepared(r, self._model.tokenizer, self._fit)) for r in records]
        rows = []
        for found in invert(self._model, seen, self._settings):
            if not found.ok:
                rows.append([Answer.failed(found.message)] * len(self.tasks))
                continue
            plain = found.to_dict()["calls"]
            row = [Answer(value=found.text), Answer(value=json.dumps(plain))]
            if found.residual is not None:
                row.append(Answer(value=found.residual))
            rows.append(row)
        return rows


def prepared(record: Observation, tokenizer: Any, fit: bool) -> Any:
    """The data of an observation, fitted to what the model reads if asked for; or its error."""
    if not fit or tokenizer.frame.name != "image":
        return record.data
    try:
        return fitted(record.data, tokenizer.frame.size, tokenizer.frame.channels)
    except RecordError as error:
        return error


def frame_name(tokenizer: Any, model: str) -> str:
    """``image`` or ``pxrd``: what a model looks at.

    Raises:
        UsageError: neither.
    """
    frame = getattr(tokenizer, "frame", None)
    if frame is None:
        raise UsageError(f"{model} describes neither images nor patterns")
    return str(frame.name)


def observation_source(path: str | Path, kind: str) -> FileSource:
    """The observations of a file or folder; ``kind`` is ``image`` or ``pxrd``."""
    return FileSource(Path(path), read, {"kind": kind})


def read(path: str | Path, kind: str) -> Iterator[Observation | RecordFailure]:
    """:func:`~sciar.datasets.observations.read_observations`, importable by its name."""
    return read_observations(path, kind)
