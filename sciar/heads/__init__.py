"""Output heads: what predicts the content of the next position. No domains."""
