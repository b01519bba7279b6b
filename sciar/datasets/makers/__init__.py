"""Makers of pictures with their programs: seeded, in parallel, resumable."""
