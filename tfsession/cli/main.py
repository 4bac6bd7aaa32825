"""`tfsession`: picks the command and hands it the rest of the line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["main"]

_COMMANDS = {
    "devices": "list the devices that a session would have",
    "env": "print the versions that a bug report should name",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line without its program name; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--version" in given:
        given = ["env", "--only", "tfsession"]
    parser = argparse.ArgumentParser(
        prog="tfsession", description="TensorFlow 1's graphs and sessions on CPU and CUDA devices."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    chosen = next((word for word in given if word in _COMMANDS), None)
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name == chosen:  # the other commands' modules stay unloaded
            module = import_module(f"tfsession.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(given)
    code: int = args.run(args)
    return code
