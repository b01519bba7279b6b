"""``sciar design``: structures that an objective likes."""

from __future__ import annotations

import sys
from typing import Any, Literal

from sciar.commands import exits


def design(
    model: str,
    objective: str,
    *,
    out: str,
    method: Literal["best-of-n", "fine-tune", "policy-gradient"] = "best-of-n",
    rounds: int = 5,
    n: int = 64,
    keep: int = 32,
    conditions: dict[str, Any] | None = None,
    condition: list[str] | None = None,
    seed: int = 0,
    jobs: int = 1,
    timeout: float = 60.0,
    bucket: int = 10,
    similarity: float = 0.7,
    steps: int = 50,
    lr: float = 1e-4,
    strength: float = 60.0,
    write: str = "",
) -> int:
    """Draw structures, score them by an objective, and turn a copy of the model to the best.

    A folder holds scores.csv (a row for every structure), the structures, TensorBoard logs and the
    turned model; the same command goes on with it, with more rounds if they are wanted.

    Args:
        model: name or folder.
        objective: qed, sa, logp, weight, density, volume_per_atom, symmetry, atoms; a window of one
            that is computed, such as logp:2:3; module:function of your own, which takes a structure
            and gives a number, larger for better; or a name that a package registers.
        out: folder of the run.
        method: best-of-n draws from the model as it is; fine-tune trains it on the best after each
            round; policy-gradient turns it by all scores against the model as it was.
        rounds: of drawing, scoring and learning.
        n: structures a round.
        keep: best structures that are written, and that fine-tune learns from.
        conditions: what is asked of every structure, as of sciar generate.
        condition: likewise, as NAME=VALUE.
        seed: fixes the run.
        jobs: processes of the objective.
        timeout: seconds for one structure.
        bucket: structures alike that keep their score; 0 turns the diversity filter off.
        similarity: Tanimoto similarity from which on molecules are alike.
        steps: of the optimiser a round.
        lr: learning rate.
        strength: of the scores against the reference, of policy-gradient.
        write: file for the best structures, in any format of sciar generate.
    """
    from sciar.api.designs import design as run
    from sciar.commands.wanted import with_properties
    from sciar.datasets.writers import write as save
    from sciar.records import Record

    found = run(
        model, objective, out, conditions=with_properties(conditions, condition or []),
        tell=lambda line: print(line, file=sys.stderr), method=method, rounds=rounds, n=n,
        keep=keep, seed=seed, jobs=jobs, timeout=timeout, bucket=bucket, similarity=similarity,
        learning={"steps": steps, "lr": lr, "strength": strength},
    )  # fmt: skip
    if write and found.best:
        save([Record(c.id, c.structure, {"value": c.value, "score": c.score}) for c in found.best],
             write)  # fmt: skip
    scored = sum(r["scored"] for r in found.rounds)
    requested = sum(r["requested"] for r in found.rounds)
    print(f"{scored:,} of {requested:,} structures scored; the best:")
    for candidate in found.best[:5]:
        print(f"  {candidate.id}  {candidate.value:.4f}")
    print(f"written to {out}")
    return exits.of(scored, requested)
