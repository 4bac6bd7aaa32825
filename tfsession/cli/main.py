"""`tfsession`: picks the command and hands it the rest of the line.

Only the command that is asked for is loaded: listing devices should not wait for what `env` needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from tfsession import __version__

__all__ = ["main"]

_COMMANDS = {
    "devices": "list the devices that a session would have",
    "env": "print the versions that a bug report should name",
    "place": "explain where the operations of a saved graph would run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line without its program name; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="tfsession", description="TensorFlow 1's graphs and sessions on CPU and CUDA devices."
    )
    parser.add_argument("--version", action="version", version=f"tfsession {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name in words:
            module = import_module(f"tfsession.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(words)
    code: int = args.run(args)
    return code
