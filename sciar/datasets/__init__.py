"""Data sets: readers, writers, splits, named sets and their fetching.

Formats live in ``formats/``, one module each; start with ``readers.read`` and ``writers.write``.
"""
