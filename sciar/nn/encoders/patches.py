"""Patches of images or patterns as a decoder reads them: our own small encoder, then a projection.

The patches of one observation are a run of given slots. The encoder sees whole observations, so
what comes out does not depend on packing or order. Trained with the decoder, or first in a model of
its own and then frozen (``weights``), when its vectors may be kept on disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.raster import RasterConfig, RasterEncoder
from sciar.nn.encoders.store import VectorStore, fingerprint
from sciar.nn.inputs import Inputs
from sciar.tokenization.vocabulary import SlotKind

TRAIN = ("all", "frozen")


class PatchInput(nn.Module, ABC):
    """What input modules of patches share: runs of slots, projection, and a store.

    Args:
        slot: the slot kind of the patches.
        hidden: width of the decoder.
        count: patches of an observation.
        width: of the encoder's vectors.
        train: ``all`` or ``frozen``.
        cache: folder for the vectors of a frozen encoder; not stored with the model.

    Raises:
        UsageError: vectors of an encoder that is trained cannot be kept.
    """

    def __init__(
        self, slot: SlotKind, hidden: int, count: int, width: int, train: str, cache: str
    ) -> None:
        super().__init__()
        if train not in TRAIN:
            raise UsageError(f"slot {slot.name}: train {train!r} is none of {', '.join(TRAIN)}")
        if cache and train != "frozen":
            raise UsageError(
                f"slot {slot.name}: vectors of an encoder that is trained are not kept"
            )
        self.slot, self.count, self.train_mode, self.cache = slot, count, train, cache
        self.project = nn.Linear(width, hidden)
        # About as large as the other parts of the embedding, as components of vectors have size 1.
        nn.init.normal_(self.project.weight, std=0.04 * width**-0.5)
        nn.init.zeros_(self.project.bias)
        self._store: VectorStore | None = None

    @abstractmethod
    def encode(self, patches_BKW: Tensor) -> Tensor:
        """(B, K, w) -> (B, K, D)."""

    @abstractmethod
    def salt(self) -> str:
        """What the vectors hang on beside the observation."""

    def at(self, inputs: Inputs, where: Tensor) -> Tensor:
        """(N, hidden) of the patches ``where`` among the inputs.

        Raises:
            UsageError: they are not whole observations.
        """
        if len(where) % self.count:
            raise UsageError(
                f"slot {self.slot.name}: {len(where)} patches are no whole observations of "
                f"{self.count}; grid and size of the frame differ"
            )
        patches = inputs.value[where, : self.slot.width].view(-1, self.count, self.slot.width)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_mode == "all"):
            vectors = self._stored(patches) if self.cache else self.encode(patches)
        return self.project(vectors.flatten(0, 1))

    def _stored(self, patches: Tensor) -> Tensor:
        """From the store, made at first use, when all weights are in place."""
        if self._store is None:
            self._store = VectorStore(self.cache, self.salt())
        keys = [self._store.key(p.cpu().numpy().tobytes()) for p in patches]

        def compute(missing: Sequence[int]) -> list[Tensor]:
            return list(self.encode(patches[list(missing)]))

        return torch.stack(self._store.fetch(keys, compute)).to(patches.device)


class PatchEncoder(PatchInput):
    """Our own encoder (:class:`~sciar.nn.encoders.raster.RasterEncoder`) as an input module.

    Args:
        slot: the slot kind of the patches.
        hidden: width of the decoder.
        grid: patches along each axis, ``[8, 8]`` of an image or ``[32]`` of a pattern.
        channels: of an image; 1 for patterns.
        layers: blocks; likewise ``width``, ``heads`` and ``stem``.
        train: ``all`` or ``frozen``.
        weights: folder of a SciAR model with an encoder of these sizes, to start from.
        cache: folder for the vectors of a frozen encoder; not stored with the model.

    Raises:
        UsageError: impossible sizes or options.
        ModelError: ``weights`` holds no such encoder.
    """

    def __init__(
        self,
        slot: SlotKind,
        hidden: int,
        *,
        grid: Sequence[int],
        channels: int = 3,
        layers: int = 4,
        width: int = 128,
        heads: int = 4,
        stem: Literal["linear", "convolution"] = "convolution",
        train: Literal["all", "frozen"] = "all",
        weights: str = "",
        cache: str = "",
    ) -> None:
        config = RasterConfig(tuple(grid), slot.width, channels, layers, width, heads, stem)
        super().__init__(slot, hidden, config.count, width, train, cache)
        self.encoder = RasterEncoder(config)
        if weights:
            self.encoder.load_state_dict(_weights_of(Path(weights), self.encoder))
        if train == "frozen":
            self.encoder.requires_grad_(False)

    def options(self) -> dict[str, Any]:
        """Arguments that make the same module without files; for the model folder."""
        config = asdict(self.encoder.config)
        del config["patch"]
        return {**config, "grid": list(config["grid"]), "train": self.train_mode}

    def encode(self, patches_BKW: Tensor) -> Tensor:
        return self.encoder(patches_BKW)

    def salt(self) -> str:
        return fingerprint(self.encoder.config, self.encoder)


def _weights_of(folder: Path, encoder: RasterEncoder) -> dict[str, Tensor]:
    """The parameters of a trained encoder, found in a model folder by their names.

    Raises:
        ModelError: no such file, or no encoder of these sizes in it.
    """
    path = folder / "model.safetensors" if folder.is_dir() else folder
    wanted = encoder.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            ends = ".encoder." + next(iter(wanted))
            found = [name.removesuffix(ends) for name in names if name.endswith(ends)]
            for prefix in sorted(found):
                state = {
                    k: file.get_tensor(name).float()
                    for k in wanted
                    if (name := f"{prefix}.encoder.{k}") in names
                }
                if {k: v.shape for k, v in state.items()} == {
                    k: v.shape for k, v in wanted.items()
                }:
                    return state
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no weights of a trained model ({error})") from error
    raise ModelError(f"{path}: holds no encoder of patches of these sizes")
