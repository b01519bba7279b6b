"""Property oracles: networks that judge what conditional models make, and share no weight."""
