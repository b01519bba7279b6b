"""An oracle on disk: ``oracle.yaml`` and ``oracle.safetensors``. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from sciar.atomic import write_folder
from sciar.errors import ModelError, UsageError
from sciar.oracle.network import Oracle, OracleNetwork, Scale, Size

FORMAT = 1
_CONFIG, _WEIGHTS = "oracle.yaml", "oracle.safetensors"


def save_oracle(folder: str | Path, oracle: Oracle) -> None:
    """Write an oracle under a temporary name, then rename it.

    Raises:
        UsageError: the target exists and is no oracle, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / _CONFIG).exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} exists and is no oracle; choose another name")
    weights = save_tensors(
        # SchNet holds some weights under two names, which the format refuses as shared memory.
        {k: v.clone().contiguous() for k, v in oracle.network.state_dict().items()}
    )
    config = {
        "format": FORMAT,
        "scales": [asdict(scale) for scale in oracle.scales],
        "size": oracle.size.to_dict(),
        "facts": oracle.facts,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = yaml.safe_dump(config, sort_keys=False)
    write_folder(folder, {_WEIGHTS: weights, _CONFIG: text.encode()})


def load_oracle(folder: str | Path) -> Oracle:
    """Read an oracle.

    Raises:
        ModelError: there is none, or it is damaged or of a newer version.
    """
    path = Path(folder)
    if not (path / _CONFIG).is_file():
        raise ModelError(f"{path}: no {_CONFIG}; make an oracle with sciar oracle")
    try:
        config = yaml.safe_load((path / _CONFIG).read_text(encoding="utf-8"))
        if config["format"] > FORMAT:
            raise ModelError(f"{path}: written by a newer SciAR; upgrade with pip install -U sciar")
        scales = tuple(Scale(**scale) for scale in config["scales"])
        size = Size(**config["size"])
        data = (path / _WEIGHTS).read_bytes()
        if hashlib.sha256(data).hexdigest() != config["sha256"]:
            raise ModelError(f"{path}: damaged, the checksum of {_WEIGHTS} differs; make it again")
        network = OracleNetwork(len(scales), size)
        network.load_state_dict(load_tensors(data))
    except (yaml.YAMLError, KeyError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path}: damaged oracle ({error})") from error
    return Oracle(network.eval(), scales, size, config["facts"])
