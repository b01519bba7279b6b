"""``sciar import`` and ``sciar export``: models of other systems, and models for others."""

from __future__ import annotations

from typing import Literal

from sciar.commands import exits
from sciar.errors import UsageError


def import_(
    system: Literal["unigenx"],
    checkpoint: str,
    out: str,
    *,
    dict: str = "",
    target: str = "",
    heads: int | None = None,
    name: str = "",
) -> int:
    """Make a model folder of a checkpoint of another system; nothing in the file is executed.

    Args:
        system: whose checkpoint it is.
        checkpoint: file of the release, or the folder of sciar export of an imported model.
        out: folder of the model, which every command takes in place of a name.
        dict: dictionary that the checkpoint was trained with. One of another target is refused,
            one that is none of the released ones brings a warning.
        target: layout, if the checkpoint does not say, or another of the same dictionary: material,
            cond_mat, mol, cond_mol, uni_mat, uni_mol, prot, misato, dock, ecnum.
        heads: attention heads, if the checkpoint does not say and they are not 64 wide.
        name: of the model; default: that of the folder.
    """
    from sciar.importing.unigenx import import_unigenx

    if not dict:
        raise UsageError("checkpoints of UniGenX come with a dictionary: give --dict")
    facts = import_unigenx(
        checkpoint, dict, out, target=target or None, heads=heads, name=name or None
    )
    print(f"{facts['target']}: {facts['parameters']:,} parameters; written to {out}")
    return exits.DONE


def export(
    model: str, out: str, precision: Literal["float32", "bfloat16", "float16"] = "float32"
) -> int:
    """Write a model in Hugging Face's conventions: safetensors, config.json, README.md.

    An imported UniGenX model keeps the names that it came with, so that its backbone loads as a
    Llama; others keep SciAR's names.

    Args:
        model: name or folder.
        out: folder to write.
        precision: of the weights.
    """
    from sciar import zoo
    from sciar.folder import load_folder
    from sciar.importing.exporting import export_folder

    files = export_folder(load_folder(zoo.find(model)), out, precision)
    print(f"{', '.join(files)} written to {out}")
    return exits.DONE
