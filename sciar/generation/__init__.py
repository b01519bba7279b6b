"""The generation engine: caches, batching, samplers."""
