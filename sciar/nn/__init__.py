"""Neural networks: decoder, mixers, embeddings. No domains, no chemistry."""
