"""The command line: ``sciar COMMAND``, one typed function each.

The signature and docstring of a function in :mod:`sciar.commands` are its options and its help.
``fit``, ``validate`` and ``test`` belong to :mod:`sciar.training`, a LightningCLI; so does
``predict --config``, while ``predict MODEL FILE`` is a function like the others.
"""

from __future__ import annotations

import errno
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from sciar import __version__
from sciar.commands import exits
from sciar.commands.annotate import annotate
from sciar.commands.data import data, fetch, make
from sciar.commands.demo import demo
from sciar.commands.design import design
from sciar.commands.evaluate import evaluate
from sciar.commands.generate import generate
from sciar.commands.importing import export, import_
from sciar.commands.interrupts import Interrupted
from sciar.commands.invert import invert
from sciar.commands.models import models
from sciar.commands.oracle import oracle
from sciar.commands.predict import predict
from sciar.commands.segment import segment
from sciar.commands.tokenize import tokenize
from sciar.errors import ModelError, SciarError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

TRAINING = ("fit", "validate", "test", "predict")
COMMANDS: tuple[Callable[..., int], ...] = (
    generate, design, predict, annotate, invert, segment, evaluate, oracle, import_, export,
    models, data, tokenize, demo,
)  # fmt: skip
_TRAINING_HELP = (
    "training: sciar fit|validate|test|predict --config RECIPE (see sciar fit --help). "
    "exit codes: 0 all done, 3 some failed, 1 nothing done, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM"
)


def build_parser() -> ArgumentParser:
    """The parser of every command but the training ones."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="sciar",
        version=__version__,
        description="One autoregressive decoder for scientific structure.",
        epilog=_TRAINING_HELP,
    )
    commands = parser.add_subcommands(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        sub = _parser_of(command)
        commands.add_subcommand(_name(command), sub, help=_summary(command))
        if command is data:
            actions = sub.add_subcommands(dest="action", required=False, metavar="ACTION")
            for action in (fetch, make):
                actions.add_subcommand(action.__name__, _parser_of(action), help=_summary(action))
    return parser


def _name(command: Callable[..., int]) -> str:
    """What the user types; ``import`` is a keyword of Python, hence ``import_``."""
    return command.__name__.rstrip("_")


def _summary(command: Callable[..., int]) -> str:
    return (inspect.getdoc(command) or "").split("\n", 1)[0].rstrip(".")


def _parser_of(command: Callable[..., int]) -> ArgumentParser:
    """Arguments from a signature.

    Without default, positional, or a required option where only its name may be given; ``n`` is
    ``-n``; a bool is a flag; a list is an option that may be repeated.
    """
    from docstring_parser import parse
    from jsonargparse import ArgumentParser

    text = parse(inspect.getdoc(command) or "")
    about = {entry.arg_name: entry.description or "" for entry in text.params}
    described = "\n\n".join(filter(None, (text.short_description, text.long_description)))
    parser = ArgumentParser(description=described)
    hints = get_type_hints(command)
    for name, parameter in inspect.signature(command).parameters.items():
        help, default = about[name], parameter.default
        dashed = "--" + name.replace("_", "-")
        if default is inspect.Parameter.empty:
            named = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            place = {"required": True} if named else {}
            parser.add_argument(dashed if named else name, type=hints[name], help=help, **place)
        elif command is models and name == "name":
            parser.add_argument(name, nargs="?", default=default, help=help)
        elif hints[name] == list[str] | None:
            parser.add_argument(dashed, action="append", help=help)
        elif hints[name] is bool:
            parser.add_argument(dashed, action="store_true", help=help)
        else:
            flags = ("-n", "--n") if name == "n" else (dashed,)
            parser.add_argument(*flags, type=hints[name], default=default, help=help)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, see :mod:`sciar.commands.exits`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _train(words) if _trains(words) else _run(words)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse, after a message or --help
        return stop.code if isinstance(stop.code, int) else exits.DONE
    except SciarError as error:
        print(f"sciar: error: {error}", file=sys.stderr)
        disk = isinstance(error.__cause__, OSError)
        return exits.NOTHING if disk or isinstance(error, ModelError) else exits.USAGE
    except KeyboardInterrupt as stop:
        number = stop.signal if isinstance(stop, Interrupted) else signal.SIGINT
        print("sciar: interrupted", file=sys.stderr)
        return exits.SIGNAL + number
    except BrokenPipeError:
        # The reader of our output is gone (head); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.SIGNAL + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"sciar: error: {_full(error, words)}", file=sys.stderr)
        return exits.NOTHING


def _trains(words: list[str]) -> bool:
    """Whether Lightning runs the command: ``predict`` is ours if a model is named first."""
    own = words[:1] == ["predict"] and (words[1:] in ([], ["--help"]) or words[1][:1] != "-")
    return bool(words) and words[0] in TRAINING and not own


def _full(error: OSError, words: list[str]) -> str:
    where = f"{error.filename}: " if error.filename else ""
    more = "; then go on from the last checkpoint with --ckpt_path" if "fit" in words[:1] else ""
    return f"{where}{error.strerror}: free some, or choose another place{more}"


def _run(words: list[str]) -> int:
    parsed = build_parser().parse_args(words)
    values: dict[str, Any] = parsed[parsed.command].as_dict()
    command = next(c for c in COMMANDS if _name(c) == parsed.command)
    if command is data:
        actions: dict[str, Callable[..., int]] = {"fetch": fetch, "make": make}
        name = values.pop("action")
        return actions[name](**values[name]) if name else data(**values)
    return command(**values)


def _train(words: list[str]) -> int:
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from sciar.training import main as train

    try:
        train(words)
    except SIGTERMException:  # raised between two batches, after which the checkpoint was written
        return exits.SIGNAL + signal.SIGTERM
    except SystemExit as stop:
        # Lightning ends an interrupted run itself, after the checkpoint is written.
        if isinstance(stop.__context__, KeyboardInterrupt):
            return exits.SIGNAL + signal.SIGINT
        raise
    return exits.DONE
