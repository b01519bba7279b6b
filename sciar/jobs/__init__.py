"""Batch work over files: a row out for every row in, in order, whatever happens in between.

A kind of job is a :class:`~sciar.jobs.worker.Worker` (records in, answers out), a source of
records, and a name. Shards, manifest, resuming, batches, interruptions and clusters are the same
for all of them.
"""

from sciar.jobs.rows import Answer, Row
from sciar.jobs.run import Job, Outcome, run
from sciar.jobs.source import FileSource
from sciar.jobs.table import read_rows
from sciar.jobs.worker import Recipe, Worker

__all__ = [
    "Answer",
    "FileSource",
    "Job",
    "Outcome",
    "Recipe",
    "Row",
    "Worker",
    "read_rows",
    "run",
]
