"""CLIP and DINOv2 from a local directory, through transformers, as frozen encoders of images.

Their weights do not travel in the model folder: it keeps the directory and the SHA-256 of what lay
there, and refuses other weights. Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.patches import PatchInput
from sciar.nn.encoders.raster import RasterConfig, raster
from sciar.tokenization.vocabulary import SlotKind

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
KINDS = {
    "clip": "CLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
}
"""``model_type`` of a configuration -> class of transformers."""


class PretrainedVision(PatchInput):
    """Hidden states of a pretrained vision transformer at the patches of an image.

    The frame of the tokenizer has the image size of the encoder. Its patches are those of the
    encoder, or squares of several of them, whose vectors are averaged.

    Args:
        slot: the slot kind of the patches.
        hidden: width of the decoder.
        path: directory with ``config.json``, ``preprocessor_config.json``, ``model.safetensors``.
        grid: patches of the frame, rows and columns.
        layer: hidden state that is read: -1 the last, -2 the one before (as LLaVA and IG-LLM do).
        sha256: of the weights, if they are known: of a trained model they are.
        cache: folder for the vectors; not stored with the model.

    Raises:
        UsageError: transformers is missing, or sizes do not fit.
        ModelError: a file is missing or damaged, an unknown kind, or other weights.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self,
        slot: SlotKind,
        hidden: int,
        *,
        path: str,
        grid: Sequence[int],
        layer: int = -2,
        sha256: str = "",
        cache: str = "",
    ) -> None:
        if find_spec("transformers") is None:
            raise UsageError(
                f"slot {slot.name}: pretrained encoders of images need transformers: "
                "pip install 'sciar[vision]'"
            )
        folder = Path(path)
        config, preprocessing = _described(folder)
        digest = _digest(folder / FILES[2])
        if sha256 and digest != sha256:
            raise ModelError(
                f"{folder / FILES[2]}: other weights (SHA-256 {digest[:16]}...) than the model was "
                f"trained with ({sha256[:16]}...); put the right ones there"
            )
        encoder = _loaded(folder, config)
        sizes = RasterConfig(tuple(grid), slot.width, 3, layers=0, width=4, heads=1)
        side, own = sizes.side, int(encoder.config.patch_size)
        if side % own:
            raise UsageError(
                f"slot {slot.name}: patches of {side} pixels are no multiples of the encoder's "
                f"{own}"
            )
        super().__init__(
            slot, hidden, sizes.count, int(encoder.config.hidden_size), "frozen", cache
        )
        self.sizes, self.layer, self.ratio = sizes, layer, side // own
        self.path, self.sha256 = str(path), digest
        # Outside the parameters of the module, so that the weights are not stored with the model.
        self._held: list[nn.Module] = [encoder.eval().requires_grad_(False)]
        for name in ("image_mean", "image_std"):
            values = torch.tensor(preprocessing[name]).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def options(self) -> dict[str, Any]:
        """Arguments that make the same module where the directory is; for the model folder."""
        return {
            "path": self.path,
            "grid": list(self.sizes.grid),
            "layer": self.layer,
            "sha256": self.sha256,
        }

    def salt(self) -> str:
        return f"{self.sha256} {self.layer} {self.ratio} {self.sizes.grid}"

    @torch.no_grad()
    def encode(self, patches_BKW: Tensor) -> Tensor:
        pixels = raster(patches_BKW, self.sizes)
        encoder = self._held[0] = self._held[0].to(pixels.device)
        states = encoder(
            pixel_values=(pixels - self.image_mean) / self.image_std, output_hidden_states=True
        ).hidden_states[self.layer]
        rows, columns = (n * self.ratio for n in self.sizes.grid)
        # What stands before the patches: the class token, and registers.
        maps = states[:, states.shape[1] - rows * columns :].transpose(1, 2)
        maps = F.avg_pool2d(maps.reshape(len(maps), -1, rows, columns), self.ratio)
        return maps.flatten(2).transpose(1, 2)


def _described(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder}: {', '.join(missing)} missing; the directory of an encoder holds "
            f"{', '.join(FILES)}"
        )
    found = []
    for name in FILES[:2]:
        try:
            found.append(json.loads((folder / name).read_text(encoding="utf-8")))
        except (ValueError, OSError) as error:
            raise ModelError(f"{folder / name}: damaged ({error})") from error
    config, preprocessing = found
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ModelError(
            f"{folder}: a model of type {kind!r}; encoders of images are {', '.join(KINDS)}"
        )
    for name in ("image_mean", "image_std"):
        values = preprocessing.get(name)
        if not isinstance(values, list) or len(values) != 3:
            raise ModelError(f"{folder / FILES[1]}: {name} is missing or has not three numbers")
    return config, preprocessing


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _loaded(folder: Path, config: dict[str, Any]) -> Any:
    import transformers

    cls = getattr(transformers, KINDS[config["model_type"]])
    try:
        model, report = cls.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the encoder cannot be loaded ({error})") from error
    if report["missing_keys"]:
        some = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"{folder / FILES[2]}: weights are missing, such as {some}")
    return model.float()
