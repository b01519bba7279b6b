"""The tokenizer of a model folder, read without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sciar.errors import ModelError
from sciar.tokenization.vocabulary import Vocabulary


def stored_tokenizer(folder: Path) -> tuple[dict[str, Any], Vocabulary]:
    """Options and vocabulary of the tokenizer that a model was trained with.

    Raises:
        ModelError: no model folder.
    """
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(config["tokenizer"]["init_args"]), Vocabulary.from_dict(config["vocabulary"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no configuration of a SciAR model ({error!r})") from error
