"""One module per file format: entries in, text out. See ``readers`` and ``writers``."""
