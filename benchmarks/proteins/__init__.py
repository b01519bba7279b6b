"""Real sets of proteins: baselines and our models, trained and scored on the same records."""
