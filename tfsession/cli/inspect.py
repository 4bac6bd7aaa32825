"""`tfsession inspect`: what is in a file of a graph, of tensors or of events."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from tfsession.checkpoint.reader import open_checkpoint
from tfsession.cli.contents import Contents
from tfsession.cli.graph_contents import of_message
from tfsession.cli.saved_file import EVENTS, TENSORS, SavedFile, open_saved, told
from tfsession.cli.table import Screen
from tfsession.cli.tensor_contents import of_events, of_tensors
from tfsession.core.errors import OpError
from tfsession.runtime.placement_report import MOST_ROWS
from tfsession.train.checkpoint_state import checkpoint_exists

__all__ = ["SCHEMA_VERSION", "add_arguments", "run"]

SCHEMA_VERSION: Final = 1

_EXIT_CODES: Final = """\
exit codes:
  0  told
  2  the command line is wrong, or the file cannot be read, is damaged or of no known kind
"""
_VARIABLES: Final = "variables/variables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a GraphDef or MetaGraphDef, binary or text; a SavedModel's directory; a checkpoint "
        "by its name, by one of its files or by the directory of its state file; a safetensors, "
        "npz or event file",
    )
    parser.add_argument("--nodes", action="store_true", help="list all nodes of graphs, too")
    parser.add_argument(
        "--match",
        metavar="GLOB",
        action="append",
        default=[],
        help="show only what has such a name, as 'layer1/*'; may be given several times",
    )
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="read tensors and large constants, and tell their least, greatest and mean values and "
        "how many are no numbers",
    )
    parser.add_argument("--all", action="store_true", help="show long tables to their end")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-color", action="store_true", help="without colours; so does NO_COLOR")


def run(args: argparse.Namespace) -> int:
    """Prints the contents; exit codes are those of the help."""
    try:
        found = _contents(open_saved(args.file), args)
    except (OSError, OpError, ValueError, TypeError) as error:
        sys.stderr.write(f"tfsession: {args.file} cannot be read: {told(error)}\n")
        return 2
    found.keep(args.match)
    if args.json:
        head: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "path": args.file}
        sys.stdout.write(json.dumps(head | found.to_json(), indent=2) + "\n")
        return 0
    screen = Screen(no_color=args.no_color)
    # A file or a pipe gets all: what reads it can choose for itself.
    most = MOST_ROWS if screen.is_drawn and not args.all else None
    screen.show(*found.lines(args.file, most))
    return 0


def _contents(saved: SavedFile, args: argparse.Namespace) -> Contents:
    if saved.kind == EVENTS:
        return of_events(saved.path)
    if saved.kind == TENSORS:
        return of_tensors(saved.value, args.statistics)
    found = of_message(saved.value, saved.kind, args.nodes, args.statistics)
    variables = f"{saved.path}/{_VARIABLES}"
    if saved.kind == "SavedModel" and checkpoint_exists(variables):
        found.parts.append(of_tensors(open_checkpoint(variables), args.statistics))
    return found
