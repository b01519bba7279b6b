"""Programs with numbers: language, text, tokens."""
