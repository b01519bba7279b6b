"""A trained model: load it, draw samples, save it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from sciar import zoo
from sciar.api.annotate import Annotator, Asked
from sciar.api.answers import Answer
from sciar.api.candidates import Candidate, RankOptions, check_rank, ranked_candidates
from sciar.api.inversion import Inversion, InversionSettings, Seen, invert
from sciar.api.known import Source, know, retrieving
from sciar.api.prompts import Composition, Prompt, Wish
from sciar.api.properties import Prediction, predict
from sciar.api.ranking import Basis, RankBy, basis_of, check_keep, ranked
from sciar.api.samples import FAILED, Sample
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.folder import ModelFolder, load_folder, save_folder
from sciar.generation.engine import Job
from sciar.generation.samples import RawSample, draw_jobs
from sciar.generation.settings import GenerationSettings
from sciar.model import AutoregressiveModel
from sciar.records import PowderPattern, Protein, ProteinRecord, Record
from sciar.retrieval.index import Hit
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.composition import parse_composition


def load(name_or_path: str | Path, device: str | torch.device = "cpu") -> Model:
    """A model of the zoo by its name, or of a folder.

    Args:
        name_or_path: see ``sciar models`` for the names.
        device: where it runs, e.g. ``cpu`` or ``cuda``.

    Raises:
        UsageError: unknown name (the message lists the known ones), or no such device.
        ModelError: the folder is damaged, too new, or of another tokenizer.
    """
    return Model(load_folder(zoo.find(name_or_path))).to(device)


class Model:
    """A network with the tokenizer it was trained with.

    Args:
        content: what a model folder holds.
    """

    def __init__(self, content: ModelFolder) -> None:
        self._content = content

    @property
    def content(self) -> ModelFolder:
        """What the folder of the model holds."""
        return self._content

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._content.name

    @property
    def network(self) -> AutoregressiveModel:
        """The torch module, in evaluation mode."""
        return self._content.model

    @property
    def tokenizer(self) -> LayoutTokenizer:
        """The tokenizer that the network was trained with."""
        return self._content.tokenizer

    @property
    def card(self) -> str:
        """Text of the model card: data, recipe, hardware, metrics."""
        return self._content.card

    @property
    def info(self) -> dict[str, Any]:
        """Facts stored with the model."""
        return self._content.info

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return f"Model({self.name!r}, {self.tokenizer.layout.name}, {count:,} parameters)"

    def to(self, device: str | torch.device) -> Model:
        """Move the network; returns the model itself.

        Raises:
            UsageError: no such device here.
        """
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"device {str(device)!r} cannot be used: {reason}") from error
        return self

    def save(self, folder: str | Path, *, half: bool = False) -> Path:
        """Write the model as a folder that :func:`load` reads; returns its path.

        Args:
            folder: target; an existing model folder is replaced.
            half: store bf16 weights.

        Raises:
            UsageError: the target exists and is no model folder, or cannot be written.
        """
        save_folder(Path(folder), self._content, half=half)
        return Path(folder)

    def generate(
        self, *, keep: float | None = None, rank_by: RankBy = "atom", **arguments: Any
    ) -> list[Sample]:
        """Samples in the order of what was asked for; arguments as for :meth:`stream`.

        Args:
            keep: rank the samples of each input by log-likelihood and mark this share of them, the
                best, as ``chosen``; all are returned (:mod:`sciar.api.ranking`).
            rank_by: ``atom`` (log-likelihood divided by the number of atoms) or ``total``.
            arguments: everything else.

        Raises:
            UsageError: as for :meth:`stream`; or nothing that the model draws has a likelihood.
        """
        if keep is not None:
            check_keep(keep, rank_by)
            self.rank_basis()
            arguments["logp"] = True
        found = sorted(self.stream(**arguments), key=lambda sample: sample.index)
        return found if keep is None else ranked(found, keep, rank_by)

    def predict(
        self, records: Iterable[Record | RecordFailure], **options: Any
    ) -> Iterator[Prediction]:
        """Properties, one prediction a record; see :func:`sciar.api.properties.predict`.

        Raises:
            UsageError: the model makes structures and predicts no properties.
        """
        return predict(self, records, **options)

    @overload
    def invert(  # type: ignore[overload-overlap]
        self, observations: np.ndarray | PowderPattern, **options: Any
    ) -> Inversion: ...

    @overload
    def invert(self, observations: Iterable[Seen], **options: Any) -> Iterator[Inversion]: ...

    def invert(
        self, observations: np.ndarray | PowderPattern | Iterable[Seen], **options: Any
    ) -> Inversion | Iterator[Inversion]:
        """Programs that describe images or patterns; see :mod:`sciar.api.inversion`.

        Args:
            observations: one array of pixels or one
                :class:`~sciar.records.PowderPattern`, which gives one inversion; or (id,
                observation) pairs, which give an iterator over as many.
            options: of :class:`~sciar.api.inversion.InversionSettings`.

        Raises:
            UsageError: the model describes no observations, or an unknown option.
            RecordError: the one observation is bad; among several it becomes a failed inversion.
        """
        try:
            settings = InversionSettings(**options)
        except TypeError as error:
            raise UsageError(f"invert takes other options ({error})") from error
        if isinstance(observations, np.ndarray | PowderPattern):
            (found,) = invert(self, [("observation", observations)], settings)
            if not found.ok:
                raise RecordError(found.message)
            return found
        return invert(self, observations, settings)

    def rank_basis(self) -> Basis:
        """What samples can be ranked by; see :func:`sciar.api.ranking.basis_of`."""
        return basis_of(self.network, self.tokenizer)

    def stream(
        self,
        *,
        composition: Composition | None = None,
        compositions: Iterable[Composition] | None = None,
        elements: str | Iterable[str] | None = None,
        max_atoms: int | None = None,
        smiles: str | Iterable[str] | None = None,
        records: Iterable[Record | RecordFailure] | None = None,
        kind: str | None = None,
        conditions: Mapping[str, Any] | Iterable[Mapping[str, Any] | RecordError] | None = None,
        n: int = 1,
        seed: int | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        retries: int | None = None,
        logp: bool = False,
        guidance: float | None = None,
        strict_range: bool = False,
        **options: Any,
    ) -> Samples:
        """Samples as they finish; each knows its place by its ``index``.

        At most one of ``composition``, ``compositions``, ``smiles``, ``records`` and a list of
        ``conditions`` says what is given; without any, the model must be one that makes structures
        from nothing. What is not set here comes from the model's own defaults.

        Args:
            composition: exact content of the cell, ``"Na4 Cl4"`` or ``{"Na": 4, "Cl": 4}``.
            compositions: several of them.
            elements: exactly these elements occur, ``"Li,Fe,P,O"`` or a list of symbols.
            max_atoms: largest structure wanted.
            smiles: one SMILES or several.
            records: take the compositions or SMILES of records, and their ids.
            kind: ``crystals`` or ``molecules``, for a model that makes both from nothing.
            conditions: any constraints that the model's tokenizer takes
                (``model.tokenizer.conditions``), by name, such as ``{"gap": 0.3}``; a list asks for
                several things, each of which may have an ``id``.
            n: samples of each.
            seed: of the run; with its index it fixes a sample. Default 0.
            batch_size: sequences in the making at once; it never changes the samples.
            steps: function evaluations of the payload sampler for each slot.
            temperature: of the symbols.
            top_p: nucleus of the symbols.
            retries: how often a failed structure is drawn again.
            logp: also compute the log-density of the numbers (of the model without guidance).
            guidance: how much conditions on properties are stressed: 0 leaves them out, 1 is the
                model as it was trained, the default; 2 is a usual choice.
            strict_range: refuse a property outside the range of the training data, of which else a
                warning tells.
            options: anything else that :meth:`GenerationSettings.of` takes.

        Raises:
            UsageError: contradictory or unknown arguments, or such as the model does not take.
            RecordError: a single composition or SMILES that is bad. In a list it becomes one
                failed sample.
        """
        if n < 1:
            raise UsageError("n must be at least 1")
        given = {"batch_size": batch_size, "steps": steps, "temperature": temperature}
        given |= {
            "guidance": guidance,
            "top_p": top_p,
            "retries": retries,
            "seed": seed,
            "score": logp or None,
        }
        settings = GenerationSettings.of(self._content.sampling, **given, **options)
        if not self.tokenizer.makes:
            raise UsageError(f"{self.name} makes no structures")
        wish = Wish(
            composition, compositions, elements, max_atoms, smiles, records, kind, conditions,
            strict_range,
        )  # fmt: skip
        return Samples(self, wish.prompts(self.tokenizer), n, settings)

    def know(self, source: Source | None) -> list[RecordFailure]:
        """Take templates from other known structures; see :func:`sciar.api.known.know`.

        Args:
            source: file, folder, data set, records or an index; ``training`` stands for the model's
                own; several in a list or with commas between. ``None``: the model's own again.

        Returns:
            The records that cannot be used.

        Raises:
            UsageError: the model takes no templates, or nothing usable is there.
        """
        return know(self, source)

    def recall(self, composition: Composition, k: int = 3, exclude: bool = False) -> list[Hit]:
        """The known structures that are most like a composition, best first.

        Args:
            composition: exact content of the cell.
            k: how many.
            exclude: none of the same reduced composition.

        Raises:
            UsageError: the model takes no templates.
            RecordError: a bad composition.
        """
        return retrieving(self).recall(parse_composition(composition), k, exclude)

    def candidates(
        self, *, rank: str = "likelihood", options: RankOptions | None = None, **arguments: Any
    ) -> list[Candidate]:
        """Crystals of given compositions, without duplicates, ranked.

        Args:
            rank: ``likelihood``, ``energy`` or ``both``, see :mod:`sciar.api.candidates`.
            options: potential, relaxation and comparison.
            arguments: as for :meth:`stream`.

        Returns:
            All samples, the best of each composition first, duplicates and failures last.

        Raises:
            UsageError: as for :meth:`stream`; or the potential is not there.
        """
        chosen = options or RankOptions()
        check_rank(self, rank, chosen)
        samples = self.generate(**{**arguments, "logp": True})
        return ranked_candidates(self, samples, rank, chosen)

    def annotate(
        self,
        records: Asked | Iterable[Asked],
        tasks: Sequence[str] | None = None,
        **options: Any,
    ) -> list[Answer]:
        """Answers to questions about proteins: one annotation for each record and task, in order.

        Args:
            records: a protein, a record of one, or a sequence as text; or several of them. Failures
                of a reader become failed annotations.
            tasks: names of tasks; default: all of the model.
            options: as for :class:`~sciar.api.annotate.Annotator`.

        Raises:
            UsageError: the model is none of answers, or lacks a task.
        """
        one = isinstance(records, (str, Protein, ProteinRecord, RecordFailure))
        several = [records] if one else records
        return list(Annotator(self, tasks, **options).stream(several))  # type: ignore[arg-type]


class Samples(Iterator[Sample]):
    """Samples of one run, as they finish.

    Attributes:
        requested: how many structures were asked for.
        settings: how they are drawn.
        prompts: what is asked for, in order.
        kinds: kinds of structures that may come, see :data:`sciar.records.KINDS`.
    """

    def __init__(
        self, model: Model, prompts: Sequence[Prompt], n: int, settings: GenerationSettings
    ) -> None:
        self.settings, self.requested = settings, n * len(prompts)
        self._model, self.prompts, self._n = model, prompts, n
        self._samples = self._run()
        tokenizer = model.tokenizer
        made = [tokenizer.makes_for(p.request) for p in prompts if p.request is not None]
        self.kinds = tuple(dict.fromkeys(k for kinds in made for k in kinds)) or tokenizer.makes

    def __len__(self) -> int:
        """How many samples the whole run gives: one for each bad input, n for each good one."""
        return sum(self._n if p.request is not None else 1 for p in self.prompts)

    def __next__(self) -> Sample:
        return next(self._samples)

    def _run(self) -> Iterator[Sample]:
        jobs: list[Job] = []
        for place, prompt in enumerate(self.prompts):
            first = place * self._n
            if prompt.request is None:
                yield self._refused(prompt, first)
            else:
                jobs += [Job(prompt.request, first + k) for k in range(self._n)]
        network, tokenizer = self._model.network, self._model.tokenizer
        for raw in draw_jobs(network, tokenizer, jobs, self.settings):
            yield self._sample(raw)

    def order(self) -> Iterator[int]:
        """The indices of the run's samples in order; those behind a bad input are left out."""
        for place, prompt in enumerate(self.prompts):
            first = place * self._n
            yield from range(first, first + (self._n if prompt.request is not None else 1))

    def _refused(self, prompt: Prompt, index: int) -> Sample:
        seed = self.settings.seed
        return Sample(f"{prompt.id}_0", prompt.id, index, seed, FAILED, prompt.error)

    def _sample(self, raw: RawSample) -> Sample:
        name = raw.request.id
        return Sample(
            id=f"{name}_{raw.index % self._n}",
            input=name,
            index=raw.index,
            seed=self.settings.seed,
            status=raw.status,
            message=raw.message,
            logp=raw.logp,
            attempts=raw.attempts,
            record=raw.structure,
            rejected=raw.rejected,
            earlier=raw.earlier,
            notes=self._model.tokenizer.provenance(raw.request),
            asked=raw.request.asked,
        )
