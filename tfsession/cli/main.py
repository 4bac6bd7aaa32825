"""`tfsession`: picks the command and hands it the rest of the line.

Only the command that is asked for is loaded: listing devices should not wait for what `env` needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from tfsession import __version__

__all__ = ["main"]

_COMMANDS = {
    "run": "run a program of TensorFlow 1 with tfsession in TensorFlow's place",
    "check": "tell which names of TensorFlow a program uses that tfsession lacks",
    "devices": "list the devices that a session would have, and check them",
    "env": "print what a bug report should name",
    "place": "explain where the operations of a saved graph would run",
    "inspect": "tell what is in a file of a graph, of variables or of events",
    "convert": "write a file of variables or of a graph in another format",
}
_INTERRUPTED = 130  # as shells count a process that Ctrl-C has ended


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line without its program name; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parsed(words)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tfsession", description="TensorFlow 1's graphs and sessions on CPU and CUDA devices."
    )
    parser.add_argument("--version", action="version", version=f"tfsession {__version__}")
    commands = parser.add_subparsers(metavar="command", title="commands", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name == asked:
            module = import_module(f"tfsession.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    if asked is not None and asked not in _COMMANDS:
        nearest = [name for name in _COMMANDS if asked.startswith(name) or name.startswith(asked)]
        nearest = nearest or get_close_matches(asked, _COMMANDS, 1, 0.4)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(_COMMANDS)}"
        parser.error(f"there is no command {asked!r}: {hint}")
    return parser.parse_args(words)
