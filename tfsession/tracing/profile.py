"""`tf.profiler`: parameters, float operations, times and memory, by name scope or op type."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tfsession.core import protos
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph import Graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.shape_fns import product
from tfsession.tracing.float_ops import float_ops
from tfsession.tracing.profile_options import DEFAULTS

_ROOT: Final = "_TFProfRoot"
# Options by what they are the least of.
_LEAST: Final = {
    "min_bytes": "requested_bytes",
    "min_micros": "exec_micros",
    "min_accelerator_micros": "accelerator_exec_micros",
    "min_cpu_micros": "cpu_exec_micros",
    "min_params": "parameters",
    "min_float_ops": "float_ops",
    "min_occurrence": "occurrence",
}
# What can be selected, and sorted by.
_FIELDS: Final = {
    "bytes": "requested_bytes",
    "micros": "exec_micros",
    "accelerator_micros": "accelerator_exec_micros",
    "cpu_micros": "cpu_exec_micros",
    "params": "parameters",
    "float_ops": "float_ops",
    "occurrence": "occurrence",
}
_SUMMED: Final = (
    *("requested_bytes", "exec_micros", "accelerator_exec_micros", "cpu_exec_micros"),
    *("parameters", "float_ops", "run_count"),
)


@dataclass(slots=True)
class _Node:
    """An operation and what it takes."""

    name: str
    op_type: str
    types: set[str]
    occurrence: int = 1
    parameters: int = 0
    float_ops: int = 0
    requested_bytes: int = 0
    exec_micros: int = 0
    cpu_exec_micros: int = 0
    accelerator_exec_micros: int = 0
    run_count: int = 0


@dataclass(slots=True)
class _Scope:
    """A name scope, with the operation of that name when there is one."""

    name: str
    node: _Node | None = None
    children: dict[str, _Scope] = field(default_factory=dict)


@export("profiler.profile")
def profile(
    graph: Graph | None = None,
    run_meta: Any = None,
    op_log: Any = None,
    cmd: str = "scope",
    options: dict[str, Any] | None = None,
) -> Any:
    """What a graph takes, and took in a run: a message, and a table in the asked output.

    Args:
        graph: the default graph when None.
        run_meta: the `tf.RunMetadata` of a traced run; without it there are no times and bytes.
        op_log: no effect.
        cmd: "scope" (by name scopes) or "op" (by op types); "graph" is taken as "scope".
        options: a dict of ProfileOptionBuilder.

    Returns:
        A GraphNodeProto (scopes) or MultiGraphNodeProto (op types); its `total_parameters`,
        `total_float_ops`, `total_exec_micros` and `total_requested_bytes` are of all that counts.

    Raises:
        ValueError: another `cmd`, or another thing to sort by.
    """
    options = DEFAULTS | (options or {})
    if cmd not in ("scope", "graph", "op"):
        raise ValueError(f"tf.profiler.profile takes cmd='scope' or 'op' here, not {cmd!r}")
    if options["order_by"] != "name" and options["order_by"] not in _FIELDS:
        raise ValueError(f"tf.profiler.profile sorts by one of {['name', *_FIELDS]}")
    nodes = _nodes(graph or get_default_graph(), run_meta)
    counted = _accounted(nodes)
    if cmd == "op":
        message, rows = _by_type([n for n in nodes if counted(n, options, False)], options)
    else:
        message, rows = _by_scope([n for n in nodes if counted(n, options, True)], options)
    _write(rows, options)
    return message


def _nodes(graph: Graph, run_meta: Any) -> list[_Node]:
    trainable = {v.op.name for v in graph.get_collection(GraphKeys.TRAINABLE_VARIABLES)}
    nodes = {}
    for op in graph.get_operations():
        node = nodes[op.name] = _Node(op.name, op.type, {op.type})
        node.float_ops = float_ops(op)
        if op.type in ("Variable", "VariableV2", "VarHandleOp"):
            shape = op.attrs["shape"]
            node.parameters = (None if shape is None else product(shape)) or 0
            if op.name in trainable:
                node.types.add("_trainable_variables")
    for device in () if run_meta is None else run_meta.step_stats.dev_stats:
        is_stream = "/stream:all" in device.device
        # Copies, and single streams, of which "all" has the sum.
        if "/memcpy" in device.device or ("/stream:" in device.device and not is_stream):
            continue
        for stats in device.node_stats:
            found = nodes.get(stats.node_name.split(":")[0])
            if found is None:
                continue
            micros = stats.all_end_rel_micros
            found.exec_micros += micros
            if is_stream:
                found.accelerator_exec_micros += micros
            else:
                found.cpu_exec_micros += micros
                found.run_count += 1
                found.requested_bytes += sum(used.total_bytes for used in stats.memory)
    return list(nodes.values())


def _matches(patterns: Iterable[str], texts: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, text) for text in texts for pattern in patterns)


def _accounted(nodes: list[_Node]) -> Callable[[_Node, dict[str, Any], bool], bool]:
    occurrences: dict[str, int] = defaultdict(int)
    for node in nodes:
        occurrences[node.op_type] += 1

    def counts(node: _Node, options: dict[str, Any], each: bool) -> bool:
        parts = node.name.split("/")
        scopes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if (
            not _matches(options["account_type_regexes"], node.types)
            or not _matches(options["start_name_regexes"], scopes)
            or _matches(options["trim_name_regexes"], scopes)
            or not _matches(options["show_name_regexes"], [node.name])
            or _matches(options["hide_name_regexes"], [node.name])
            or occurrences[node.op_type] < options.get("min_occurrence", 0)
        ):
            return False
        return not each or _is_enough(node, options)

    return counts


def _is_enough(node: _Node, options: dict[str, Any]) -> bool:
    return all(getattr(node, name) >= options.get(least, 0) for least, name in _LEAST.items()
               if least != "min_occurrence")  # fmt: skip


def _selected(options: dict[str, Any]) -> list[str]:
    return [name for name in options["select"] if name in _FIELDS]


def _by_scope(nodes: list[_Node], options: dict[str, Any]) -> tuple[Any, list[list[str]]]:
    root = _Scope(_ROOT)
    for node in nodes:
        parts = node.name.split("/")
        scope = root
        for end in range(1, len(parts) + 1):
            scope = scope.children.setdefault(parts[end - 1], _Scope("/".join(parts[:end])))
        scope.node = node
    selected = _selected(options)
    rows = [["node name", *selected]]

    def message_of(scope: _Scope, depth: int) -> tuple[Any, list[list[str]]]:
        message = protos.GraphNodeProto(name=scope.name, total_definition_count=1)
        for name in _SUMMED:
            own = 0 if scope.node is None else getattr(scope.node, name)
            setattr(message, name, own)
            setattr(message, f"total_{name}", own)
        found = [message_of(child, depth + 1) for child in scope.children.values()]
        for child, _ in found:
            for name in (*_SUMMED, "definition_count"):
                total = f"total_{name}"
                setattr(message, total, getattr(message, total) + getattr(child, total))
        found.sort(key=lambda pair: _order(pair[0], options["order_by"], "total_"))
        below: list[list[str]] = []
        if depth < options["max_depth"]:
            message.children.extend(child for child, _ in found)
            below = [row for _, rows in found for row in rows]
        numbers = [
            f"{getattr(message, _FIELDS[s], 0)}/{getattr(message, 'total_' + _FIELDS[s], 0)}"
            for s in selected
        ]
        return message, [["  " * depth + scope.name, *numbers], *below]

    message, below = message_of(root, 0)
    return message, rows + below


def _order(message: Any, by: str, prefix: str) -> Any:
    if by == "name":
        return message.name
    return -getattr(message, prefix + _FIELDS[by], 0), message.name


def _by_type(nodes: list[_Node], options: dict[str, Any]) -> tuple[Any, list[list[str]]]:
    groups: dict[str, list[_Node]] = defaultdict(list)
    for node in nodes:
        groups[node.op_type].append(node)
    sums = [_summed(name, found) for name, found in groups.items()]
    kept = [node for node in sums if _is_enough(node, options)]
    by = options["order_by"]
    if by == "name":
        kept.sort(key=lambda node: node.name)
    else:
        kept.sort(key=lambda node: (-getattr(node, _FIELDS[by]), node.name))
    selected = _selected(options)
    rows = [["op type", *selected]]
    rows += [[node.name, *(str(getattr(node, _FIELDS[s])) for s in selected)] for node in kept]
    # The most first, the others inside of it, one in another; totals are of all from there on.
    below = None
    for node in [*reversed(kept), _Node(_ROOT, "", set())]:
        message = protos.MultiGraphNodeProto(name=node.name)
        for name in _SUMMED[:-1]:
            own = getattr(node, name)
            setattr(message, name, own)
            rest = 0 if below is None else getattr(below, f"total_{name}")
            setattr(message, f"total_{name}", own + rest)
        for one in groups.get(node.name, ()):
            found = message.graph_nodes.add(name=one.name, total_definition_count=1)
            for name in _SUMMED:
                setattr(found, name, getattr(one, name))
                setattr(found, f"total_{name}", getattr(one, name))
        if below is not None:
            message.children.append(below)
        below = message
    return below, rows


def _summed(name: str, nodes: list[_Node]) -> _Node:
    total = _Node(name, name, {name}, occurrence=len(nodes))
    for part in _SUMMED:
        setattr(total, part, sum(getattr(node, part) for node in nodes))
    return total


def _write(rows: list[list[str]], options: dict[str, Any]) -> None:
    output = options.get("output", "stdout")
    if output == "none":
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip()
        for first, *rest in rows
    ]
    text = "\n".join(lines) + "\n"
    if output.startswith("file:outfile="):
        with file_errors():
            Path(local_path(output.partition("=")[2])).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


@export("profiler.Profiler")
class Profiler:
    """Profiles a graph from the traces of several steps.

    Args:
        graph: the default graph when None.
        op_log: no effect.
    """

    def __init__(self, graph: Graph | None = None, op_log: Any = None) -> None:
        self._graph = graph or get_default_graph()
        self._steps: dict[int, Any] = {}

    def add_step(self, step: int, run_meta: Any) -> None:
        """Keep the `tf.RunMetadata` of a step."""
        self._steps[step] = protos.coerce(run_meta, protos.RunMetadata)

    def _merged(self, options: dict[str, Any]) -> Any:
        step = options.get("step", -1)
        merged = protos.RunMetadata()
        for number, found in self._steps.items():
            if step in (-1, number):
                merged.MergeFrom(found)
        return merged

    def profile_name_scope(self, options: dict[str, Any]) -> Any:
        """As `tf.profiler.profile(cmd="scope")`."""
        return profile(self._graph, self._merged(options), cmd="scope", options=options)

    def profile_graph(self, options: dict[str, Any]) -> Any:
        """As `profile_name_scope`."""
        return self.profile_name_scope(options)

    def profile_operations(self, options: dict[str, Any]) -> Any:
        """As `tf.profiler.profile(cmd="op")`."""
        return profile(self._graph, self._merged(options), cmd="op", options=options)
