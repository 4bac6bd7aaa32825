"""`tfsession`: picks the command and hands it the rest of the line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata

from tfsession.cli import devices, env

__all__ = ["main"]

_COMMANDS = {
    "devices": (devices, "list the devices that a session would have"),
    "env": (env, "print the versions that a bug report should name"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line without its program name; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="tfsession", description="TensorFlow 1's graphs and sessions on CPU and CUDA devices."
    )
    parser.add_argument(
        "--version", action="version", version=f"tfsession {metadata.version('tfsession')}"
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, (module, purpose) in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    code: int = args.run(args)
    return code
