"""`tfsession place`: where the operations of a saved graph would run, and why."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tfsession.cli.table import Cell, Column, Line, Part, Screen, Table
from tfsession.core import protos
from tfsession.core.device_spec import parse_device_name
from tfsession.core.errors import OpError
from tfsession.core.graph_file import SavedGraph, read_graph
from tfsession.core.op_def import ops
from tfsession.devices.manager import DeviceManager
from tfsession.graph.graph import Graph
from tfsession.graph.importer import import_message
from tfsession.runtime.decision import Reason
from tfsession.runtime.execute import Engine
from tfsession.runtime.explain import explain_graph, explain_step
from tfsession.runtime.fetches import FetchMap
from tfsession.runtime.placement_report import MOST_ROWS, PlacementReport
from tfsession.train.external_weights import external_values

__all__ = ["SCHEMA_VERSION", "add_arguments", "run"]

SCHEMA_VERSION = 1

# Seconds after which somebody at a terminal is told what takes so long.
_PATIENCE = 1.0
_EXIT_CODES = """\
exit codes:
  0  the graph can be placed
  1  it cannot: the message names the operation and the constraint
  2  the command line is wrong, or the file cannot be read, holds no graph or unknown op types
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "graph",
        metavar="GRAPH.pb",
        help="a GraphDef, MetaGraphDef or SavedModel, binary or text, or a SavedModel's directory",
    )
    parser.add_argument(
        "--devices",
        metavar="LIST",
        help="place on these devices, such as CPU:0,GPU:0,GPU:1, whatever this machine has",
    )
    parser.add_argument(
        "--soft",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="let operations run elsewhere than they ask for, as allow_soft_placement does",
    )
    parser.add_argument(
        "--fetch",
        metavar="NAME",
        action="append",
        default=[],
        help="explain a step that fetches this tensor or runs this operation, with its transfers; "
        "may be given several times",
    )
    parser.add_argument("--device", metavar="NAME", help="show only what is on this device: /gpu:1")
    reasons = ", ".join(reason.value for reason in Reason)
    parser.add_argument(
        "--reason",
        metavar="REASON",
        action="append",
        help=f"show only what was decided by this: {reasons}; may be given several times",
    )
    parser.add_argument("--all", action="store_true", help="show long tables to their end")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-color", action="store_true", help="without colours; so does NO_COLOR")


class _Refused(Exception):
    """The command ends with this text and exit code."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


def run(args: argparse.Namespace) -> int:
    """Prints the placement; exit codes are those of the help."""
    try:
        _filtered(PlacementReport((), None, ()), args)  # a mistake there shows at once
        found = _explained(args)
    except _Refused as refused:
        sys.stderr.write(f"tfsession: {refused}\n")
        return refused.code
    report = _filtered(found.report, args)
    screen = Screen(no_color=args.no_color)
    if args.json:
        _write(_as_json(args, found, report))
    elif screen.is_drawn:
        screen.show(*_as_parts(args, found, report))
    else:
        _write(_as_text(args, found, report))
    return 0


class _Found(NamedTuple):
    """What a file holds: what kind of file, how many nodes, those left out, and the report."""

    kind: str
    nodes: int
    left_out: dict[str, int]
    report: PlacementReport


def _as_json(args: argparse.Namespace, found: _Found, report: PlacementReport) -> str:
    graph = {"path": args.graph, "kind": found.kind, "nodes": found.nodes}
    head = {
        "schema_version": SCHEMA_VERSION,
        "graph": graph | {"left_out_op_types": found.left_out},
        "soft_placement": args.soft,
        "fetches": args.fetch,
    }
    return json.dumps(head | report.to_dict(), indent=2)


def _heading(args: argparse.Namespace, found: _Found) -> list[str]:
    lines = [f"{args.graph}: {found.kind}, {found.nodes:,} nodes"]
    if found.left_out:
        named = _counted(found.left_out)
        lines.append(f"Placed without what the fetches do not need; not known there: {named}")
    return lines


def _as_text(args: argparse.Namespace, found: _Found, report: PlacementReport) -> str:
    # A file or a pipe gets all: what reads it can choose for itself.
    return "\n".join([*_heading(args, found), report.to_string()])


def _as_parts(args: argparse.Namespace, found: _Found, report: PlacementReport) -> Iterator[Part]:
    head, tables, foot = report.parts(None if args.all else MOST_ROWS)
    yield from map(Line, (*_heading(args, found), *head))
    for table in tables:
        yield Line("")
        yield Line(table.title, "title")
        columns = [
            Column(heading, right=is_number)
            for heading, is_number in zip(table.headings, table.numbers, strict=True)
        ]
        rows = [[Cell(text, _state(text)) for text in row] for row in table.rows]
        if table.left_out:
            note = table.note("--all shows all, --device and --reason fewer")
            rows.insert(table.gap, [Cell(note, "dim"), *[Cell("")] * (len(columns) - 1)])
        yield Table(columns, rows)
    yield Line("")
    yield from map(Line, foot)


def _state(text: str) -> str:
    """How a cell stands out: what runs elsewhere than the program asks for."""
    return "warn" if text.startswith(Reason.SOFT_FALLBACK.value) else ""


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _explained(args: argparse.Namespace) -> _Found:
    manager = _manager(args.devices)
    with _progress(f"reading {args.graph}"):
        saved = _read(args.graph)
    nodes = len(saved.graph_def.node)
    with _progress(f"importing {nodes:,} nodes"):
        left_out = _left_out(args.graph, saved.graph_def, args.fetch)
        graph = _imported(args.graph, saved.graph_def)
    engine = Engine(graph, manager, allow_soft_placement=args.soft)
    try:
        with _progress("placing"), _quiet():
            return _Found(saved.kind, nodes, left_out, _report(engine, args.fetch))
    except OpError as error:
        hint = "" if args.soft else " (--soft lets operations run elsewhere than they ask for)"
        raise _Refused(f"{_line(error.message)}{hint}", 1) from None
    finally:
        engine.close()


def _report(engine: Engine, fetches: Sequence[str]) -> PlacementReport:
    if not fetches:
        return explain_graph(engine)
    try:
        elements = FetchMap(engine.graph, list(fetches)).elements
    except (TypeError, ValueError) as error:
        raise _Refused(f"--fetch: {_line(str(error))}") from None
    return explain_step(engine, elements, [])


def _filtered(report: PlacementReport, args: argparse.Namespace) -> PlacementReport:
    for option, value in (("device", args.device), ("reason", args.reason)):
        if value is not None:
            try:
                report = report.filter(**{option: value})
            except ValueError as error:
                raise _Refused(f"--{option}: {_line(str(error))}") from None
    return report


# --- the graph ------------------------------------------------------------------------------------


def _read(path: str) -> SavedGraph:
    try:
        return read_graph(path)
    except OSError as error:
        raise _Refused(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise _Refused(f"{path} is not a graph: {error}") from None


def _left_out(path: str, graph_def: Any, fetches: Sequence[str]) -> dict[str, int]:
    """Check the op types; cut the graph down to what is fetched where that leaves only known ones.

    Returns:
        The unknown op types of nodes that are gone, with their numbers.
    """
    unknown = _unknown(graph_def)
    if not unknown:
        return {}
    text = f"{path} has nodes of op types that are not known here"
    if not fetches:
        hint = "(--fetch NAME explains a step that does without them)"
        raise _Refused(f"{text}: {_counted(unknown)} {hint}")
    needed = _needed(graph_def, fetches)
    kept = [node for node in graph_def.node if node.name in needed]
    del graph_def.node[:]
    graph_def.node.extend(kept)
    if still := _unknown(graph_def):
        raise _Refused(f"{text}, and that the fetches need: {_counted(still)}")
    return unknown


def _unknown(graph_def: Any) -> dict[str, int]:
    """The op types that are not known here, with the numbers of their nodes."""
    own = {function.signature.name for function in graph_def.library.function}
    found = Counter(n.op for n in graph_def.node if n.op not in ops and n.op not in own)
    return dict(sorted(found.items()))


def _counted(types: Mapping[str, int]) -> str:
    return ", ".join(f"{op} ({count:,})" for op, count in types.items())


def _needed(graph_def: Any, fetches: Sequence[str]) -> set[str]:
    """The names of all nodes that the fetches wait for."""
    inputs = {node.name: node.input for node in graph_def.node}
    stack = [name.split(":")[0] for name in fetches]
    needed: set[str] = set()
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack += [text.lstrip("^").split(":")[0] for text in inputs.get(name, ())]
    return needed


def _imported(path: str, graph_def: Any) -> Graph:
    graph = Graph()
    try:
        with graph.as_default():
            import_message(graph_def, name="", values=external_values(graph_def, path))
    except (TypeError, ValueError, OpError) as error:
        text = error.message if isinstance(error, OpError) else str(error)
        raise _Refused(f"{path} cannot be imported: {_line(text)}") from None
    return graph


def _line(text: str) -> str:
    """The first line of an error's text, which tells what is wrong; the others are details."""
    return text.strip().split("\n")[0]


# --- the devices ----------------------------------------------------------------------------------


def _manager(listed: str | None) -> DeviceManager:
    """This machine's devices, or named ones, for which simulated GPUs stand in."""
    try:
        if listed is None:
            return DeviceManager(environ=os.environ)
        counts = _counts(listed)
        options = protos.DeviceOptions(simulated_gpus=str(counts["GPU"]))
        return DeviceManager(counts, environ={}, device_options=options)
    except OpError as error:
        raise _Refused(_line(error.message)) from None


def _counts(listed: str) -> dict[str, int]:
    """How many devices of each type a list names: it must name them from 0 on."""
    numbers: dict[str, set[int]] = {"CPU": {0}, "GPU": set()}
    for text in filter(None, map(str.strip, listed.split(","))):
        name = parse_device_name(text.removeprefix("/device:").lstrip("/"), True)
        if name is None or name.device_type not in numbers or name.device_index is None:
            raise _Refused(f"--devices: {text!r} is no device: they are called CPU:0, GPU:0, ...")
        numbers[name.device_type].add(name.device_index)
    for kind, found in numbers.items():
        missing = set(range(max(found, default=-1) + 1)) - found
        if missing:
            raise _Refused(
                f"--devices names {kind}:{max(found)} but not {kind}:{min(missing)}: a session "
                "numbers its devices without gaps"
            )
    return {kind: len(found) for kind, found in numbers.items()}


# --- what is told meanwhile -----------------------------------------------------------------------


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log's warnings of operations that go elsewhere: the report tells of them."""
    logger = logging.getLogger("tfsession")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Say what is being done if it takes long and somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(_PATIENCE, sys.stderr.write, [f"tfsession: {what} ...\n"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
