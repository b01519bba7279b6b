"""Encoders whose outputs become payloads of a sequence; they know ids, not what these mean."""
