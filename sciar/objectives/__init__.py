"""Objectives: how a sequence becomes a question to the decoder."""
