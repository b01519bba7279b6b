"""Speed and memory of SciAR, from one run: ``python -m benchmarks`` (``make bench``)."""
