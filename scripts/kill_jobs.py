"""Kill batch jobs and see that nothing is lost: the acceptance run of ``sciar annotate``.

    python scripts/kill_jobs.py --out /tmp/kills [--records 5000] [--model M --tasks a,b] [--ray]
    python scripts/kill_jobs.py --out /tmp/kills --without-model --ray      # minutes faster

Makes a FASTA file of which 1 % are bad records (stop codons inside, digits, empty, 40,000 residues,
repeated ids) and annotates it undisturbed; then killed twice with kill -9 and resumed; then, with
``--ray``, on a local cluster of two nodes of which a worker is killed. All folders must hold the
same bytes, with one row for every record and task, and each command must end with exit code 3.
Without ``--model`` a tiny untrained model answers, which says the same about the jobs; with
``--without-model`` the same job core runs the worker of the tests, which only hashes sequences.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))


def main() -> None:
    """Undisturbed, killed twice, and on Ray."""
    from protein_files import write_fasta

    given = options()
    given.out.mkdir(parents=True, exist_ok=False)
    source = given.out / "proteins.fasta"
    names = write_fasta(source, given.records, bad_every=100)
    if given.without_model:
        from protein_job import TASKS

        program = [str(ROOT / "tests" / "support" / "protein_job.py"), str(source)]
        tasks = list(TASKS)
    else:
        from tiny_proteins import make_protein_model

        model = given.model or make_protein_model(given.out / "tiny-answers")
        program = ["-m", "sciar", "annotate", str(source), "--model", str(model)]
        program += ["--tasks", given.tasks]
        tasks = given.tasks.split(",")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))
    command = [sys.executable, *program, "--shard-size", str(given.shard_size)]

    start = time.monotonic()
    calm = given.out / "undisturbed"
    expect(run([*command, "--out", str(calm)]), 3)
    seconds = time.monotonic() - start
    print(f"undisturbed: {seconds:.1f} s, {given.records / seconds:.1f} records/s")
    check_rows(calm, names, tasks)

    killed = given.out / "killed"
    shards = len(list(calm.glob("part-*")))
    for share in (0.3, 0.6):
        have = run([*command, "--out", str(killed), "--resume"], killed, int(share * shards))
        expect(have, -9)
        print(f"killed with {len(list(killed.glob('part-*')))} of {shards} shards done")
    expect(run([*command, "--out", str(killed), "--resume"]), 3)
    same(calm, killed)

    if given.ray:
        on_ray(command, given.out / "ray", calm, shards)


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="new folder for everything")
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--shard-size", type=int, default=250)
    parser.add_argument("--model", default="")
    parser.add_argument("--tasks", default="deeploc,secondary_structure")
    parser.add_argument("--without-model", action="store_true")
    parser.add_argument("--ray", action="store_true")
    return parser.parse_args()


def run(command: list[str], folder: Path | None = None, shards: int = 0) -> int:
    """The exit code; with a folder, of a process that is killed when so many shards are there."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while folder is not None and process.poll() is None:
            if len(list(folder.glob("part-*"))) >= shards:
                process.kill()
                break
            time.sleep(0.01)
        errors = process.communicate()[1].decode()
    if process.returncode not in (3, -9):
        print(errors[-3000:], file=sys.stderr)
    return process.returncode


def expect(code: int, wanted: int) -> None:
    """End unless an exit code is the right one."""
    if code != wanted:
        raise SystemExit(f"exit code {code}, not {wanted}")


def check_rows(folder: Path, names: list[str], tasks: list[str]) -> None:
    """One row for every record and task, in order; a repeated id has a number behind it."""
    from sciar.jobs import read_rows

    rows = list(read_rows(folder))
    if [row.task for row in rows] != tasks * len(names):
        raise SystemExit("not one row for every record and task, in order")
    for row, name in zip(rows[:: len(tasks)], names, strict=True):
        if row.id != name and not row.id.startswith(f"{name}-"):
            raise SystemExit(f"row of {row.id} in the place of {name}")
    failed = sum(row.status != "ok" for row in rows)
    print(f"{len(names)} records, {len(rows)} rows, {failed} failed")


def same(one: Path, other: Path) -> None:
    """Both folders hold the same files with the same bytes, and nothing else."""
    contents = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in (one, other)]
    if contents[0] != contents[1]:
        raise SystemExit(f"{one} and {other} differ")
    total = sum(map(len, contents[0].values()))
    print(f"{other.name}: same {len(contents[0])} files, {total:,} bytes")


def on_ray(command: list[str], folder: Path, calm: Path, shards: int) -> None:
    """Two nodes of one CPU; a worker is killed when a third of the shards is done."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    try:
        words = [*command, "--out", str(folder), "--ray", cluster.address]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while len(list(folder.glob("part-*"))) < shards // 3 and process.poll() is None:
                time.sleep(0.05)
            ours = [
                p
                for p in psutil.process_iter(["name", "cmdline"])
                if "ray::_Actor" in " ".join(p.info["cmdline"] or [p.info["name"]])
            ]
            for worker in ours[:1]:
                worker.kill()
                print(f"killed the Ray worker {worker.pid} of {len(ours)}")
            errors = process.communicate()[1].decode()
        if process.returncode != 3 or not ours:
            print(errors[-3000:], file=sys.stderr)
            raise SystemExit(f"exit code {process.returncode}, {len(ours)} workers found")
    finally:
        cluster.shutdown()
    same(calm, folder)


if __name__ == "__main__":
    main()
