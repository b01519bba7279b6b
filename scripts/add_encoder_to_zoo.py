"""Put a pretrained encoder into the zoo, with a card of what it was measured on.

    python scripts/add_encoder_to_zoo.py runs/encoder-nano/model --config encoder-nano \
        --note "how it was trained"

The sequences that the recipe holds out for validation are read once more: accuracy and perplexity
over their hidden residues stand on the card beside those of the background frequencies.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from sciar.datasets.batching import plan_batches
from sciar.datasets.residue_data import ResidueData
from sciar.datasets.residues import ResidueCorpus
from sciar.nn.encoders.folder import EncoderFolder, load_encoder_folder, save_encoder
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.objectives.masked_residues import MaskedResidueObjective
from sciar.training import recipes

ZOO = Path(__file__).resolve().parents[1] / "sciar" / "zoo"


@torch.no_grad()
def measured(model: MaskedLM, sequences: list[str], crop: int = 1022) -> dict[str, float]:
    """Sums over the residues hidden in each sequence (salt -1): loss, hits, background."""
    corpus, objective = ResidueCorpus(sequences, crop), MaskedResidueObjective()
    sums = dict.fromkeys(("loss", "count", "right", "background", "frequent"), 0.0)
    for batch in plan_batches(corpus.lengths(), 8192, 0, 0, shuffle=False):
        scores = objective.scores(model, corpus.pack(np.asarray(batch)), salt=-1)
        for name in sums:
            sums[name] += float(getattr(scores, name))
    return sums


def card(content: EncoderFolder, sums: dict[str, float], sequences: int, note: str) -> str:
    """Text of the card."""
    info, config, count = content.info, content.model.encoder.config, sums["count"]
    counts = info.get("counts", {})
    right, frequent = sums["right"] / count, sums["frequent"] / count
    nll, background = sums["loss"] / count, sums["background"] / count
    lines = [
        f"# {content.name}",
        "",
        "An encoder of proteins in the form of ESM-2, pretrained from scratch by masked language",
        "modelling. It answers nothing by itself: models of answers read proteins through it.",
        "",
        f"- {config.layers} blocks, width {config.width}, {config.heads} heads, "
        f"{info['parameters']:,} parameters with the head of masked residues, fp32",
        f"- trained on: {counts.get('train', 0):,} sequences, "
        f"{counts.get('train residues', 0):,} residues; {info['data']}",
        f"- recipe: {info['recipe']}; optimiser steps: {info['steps']:,}",
        f"- hardware: {info['hardware']}; versions: {info['versions']}",
        "- weights: exponential moving average",
        *([f"- {note}"] if note else []),
        "",
        "## Sequences",
        "",
        f"Of {counts.get('distinct', 0):,} different sequences {counts.get('test', 0):,} are test",
        "sequences of a benchmark set, or the wild type of a set of variants; "
        f"{counts.get('related to test', 0):,}",
        f"others are related to one of them, {counts.get('related to val', 0):,} to one of the "
        f"{counts.get('val', 0):,} held out for validation",
        "below; none of these was trained on. Related: at least 5 % of the 5-mers of the one with",
        "fewer, and at least six (`sciar.datasets.homologues`). With even differences that",
        "is nearly every pair with 70 % identical residues and about half of those with 55 %; more",
        "distant relatives remain. Test records that are held back from the shared data could not",
        "be taken into account.",
        "",
        f"## Masked residues of {sequences:,} held-out sequences",
        "",
        "| | accuracy | perplexity | cross-entropy (nats) |",
        "|---|---|---|---|",
        f"| this encoder | {right:.1%} ({sums['right']:,.0f} of {count:,.0f}) | "
        f"{np.exp(nll):.2f} | {nll:.4f} |",
        f"| background frequencies | {frequent:.1%} ({sums['frequent']:,.0f} of {count:,.0f}) | "
        f"{np.exp(background):.2f} | {background:.4f} |",
        "",
        "15 % of the residues are chosen; 80 % of these are hidden, 10 % replaced, 10 % kept.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="model folder of a run")
    parser.add_argument("--config", required=True, help="recipe that it was trained with")
    parser.add_argument("--name", default="", help="name in the zoo; default: the model's")
    parser.add_argument("--note", default="", help="one line for the card")
    parser.add_argument("--zoo", type=Path, default=ZOO)
    given = parser.parse_args()
    content = load_encoder_folder(given.folder)
    recipe = recipes().get(given.config, Path(given.config))
    data = yaml.safe_load(recipe.read_text(encoding="utf-8"))["data"]
    sequences = ResidueData(**data).gathered.val
    sums = measured(content.model, sequences)
    content = replace(content, name=given.name or content.name)
    content = replace(content, card=card(content, sums, len(sequences), given.note))
    save_encoder(given.zoo / content.name, content)
    print(content.card)


if __name__ == "__main__":
    main()
