"""Whether two models give the same answers, bit for bit: a model before and after it has grown.

    python scripts/compare_answers.py runs/four/model runs/six/model --records 60

Asks both every task of the first model, about test proteins of the set of each task, and compares
values and log-probabilities without any tolerance. Ends with exit code 1 where they differ.
"""

from __future__ import annotations

import argparse
from typing import Any

import sciar
from sciar.api.answers import Answer
from sciar.datasets.protein_sets import read_split
from sciar.records import ProteinRecord


def asked(names: list[str], count: int) -> list[ProteinRecord]:
    """The first test proteins of some sets."""
    return [record for name in names for record in read_split(name, "test")[:count]]


def differences(before: list[Answer], after: list[Answer]) -> list[str]:
    """Record and task of every answer that is not the same in all bits."""
    return [
        f"{a.id} {a.task}"
        for a, b in zip(before, after, strict=True)
        if (a.status, a.value, a.logp, a.confidence) != (b.status, b.value, b.logp, b.confidence)
    ]


def main() -> None:
    """Compare and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("before", help="the smaller model")
    parser.add_argument("after", help="the larger one")
    parser.add_argument("--sets", default="flip_secondary_structure,deeploc", help="of proteins")
    parser.add_argument("--records", type=int, default=60, help="proteins of each set")
    given = parser.parse_args()
    models = [sciar.load(given.before), sciar.load(given.after)]
    tokenizer: Any = models[0].tokenizer
    tasks = [task.name for task in tokenizer.tasks]
    records = asked(given.sets.split(","), given.records)
    before, after = (list(model.annotate(records, tasks)) for model in models)
    wrong = differences(before, after)
    print(f"{len(tasks)} tasks: {', '.join(tasks)}; {len(records)} proteins")
    print(f"{len(before) - len(wrong)} of {len(before)} answers are the same in all bits")
    if wrong:
        raise SystemExit(f"different: {'; '.join(wrong[:5])}")


if __name__ == "__main__":
    main()
