"""Answers about proteins as tokens: one codec and one grammar for each type of answer.

A codec turns a typed value into token names and back; its grammar makes every answer well formed,
whatever the decoder's logits are. A task is one entry of a YAML file that names a codec.
"""
