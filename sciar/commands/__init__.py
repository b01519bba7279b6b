"""The commands of ``sciar``: one typed function each; its signature is the command line.

A command returns its exit code, see :mod:`sciar.commands.exits`. Heavy libraries are imported when
a command runs, so that ``sciar --help`` is fast.
"""
