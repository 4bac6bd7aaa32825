"""Graphs that somebody else wrote: what reaches outside of the session is refused in them.

An operation that came in by `import_graph_def`, and does more than to compute, is marked, unless
the program allows its type by name, or has itself made the graph. A step that needs a marked
operation is refused before it begins. What is done to a file that the program itself names is the
program's own affair: so a Saver restores, and a SavedModel's tables find their files.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tfsession.core.dtypes import string
from tfsession.core.errors import PermissionDeniedError
from tfsession.core.exports import export
from tfsession.core.op_def import ops
from tfsession.core.op_reach import HARMLESS, REACHING, Reach, is_given_text, reach_of
from tfsession.graph.constant_value import constant_value

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

_ALL: Final = "*"
_VARIABLE: Final = "TFSESSION_ALLOW_LOADED_OPS"
_NO_PLACE: Final = frozenset({"_class", "_output_shapes", "frame_name"})
# What hands on the text that it is given, or puts others behind it.
_HANDS_ON: Final = frozenset({"ExpandDims", "Identity", "Reshape", "ShardedFilename"})
_WRITES: Final = frozenset({"AssignVariableOp", "ResourceScatterNdUpdate", "ResourceScatterUpdate"})
_CHOOSES: Final = frozenset({"Identity", "Pack", "Select", "SelectV2", "StaticRegexFullMatch"})


class _Allowed(threading.local):
    types: frozenset[str] = frozenset()


_allowed_here = _Allowed()
# Of nodes in graphs that this program has made.
_own_nodes: set[int] = set()


class Origin(NamedTuple):
    """Where a graph came from, and which of its ops may reach outside of the session."""

    text: str
    allowed: frozenset[str]


@export("allow_loaded_ops")
@contextmanager
def allow_loaded_ops(*op_types: str) -> Iterator[None]:
    """Let graphs that this thread loads in the block do what loaded graphs may not.

    Ops that read or write files, or call functions of Python, are refused in graphs that come from
    files, when a step needs them. The environment variable TFSESSION_ALLOW_LOADED_OPS allows types,
    with commas between, in a whole process. See docs/loading.md. Not in TensorFlow.

    Args:
        op_types: op types such as "ReadFile"; "*" for all.

    Raises:
        ValueError: there is no op of that type.
    """
    for op_type in op_types:
        if op_type != _ALL and op_type not in ops:
            raise ValueError(f"There is no op of type {op_type!r}")
    before = _allowed_here.types
    _allowed_here.types = before | set(op_types)
    try:
        yield
    finally:
        _allowed_here.types = before


def _allowed() -> frozenset[str]:
    named = os.environ.get(_VARIABLE, "").split(",")
    return _allowed_here.types.union(name.strip() for name in named)


# --- what a program has made ----------------------------------------------------------------------


def _may_reach(op_type: str) -> bool:
    op_def = ops.get(op_type)
    if op_type in REACHING or op_def is None:
        return op_def is not None
    return op_type not in HARMLESS and is_given_text(op_def)


def note_own(graph: Graph, message: Any) -> None:
    """Remember the GraphDef of a graph, if it does more than to compute, as this program's."""
    if graph._loaded_ops or graph._loaded_functions:
        return
    types = {op.type for op in graph._ops.values()}
    for function in graph._functions.values():
        types.update(node.op for node in function.node_def)
    # A Saver's files are named by whoever calls it.
    if any(_may_reach(t) and not (t in REACHING and REACHING[t].is_checkpoint) for t in types):
        _own_nodes.update(_marks_of(message))


def _marks_of(message: Any) -> Iterator[int]:
    """What tells the nodes of a GraphDef from others, wherever they are placed."""
    bodies = [("", message.node)]
    bodies += [(f.signature.name, f.node_def) for f in message.library.function]
    for function, nodes in bodies:
        for node in nodes:
            attrs = sorted((k, v) for k, v in node.attr.items() if k not in _NO_PLACE)
            values = [(k, v.SerializeToString(deterministic=True)) for k, v in attrs]
            yield hash((function, node.name, node.op, tuple(node.input), tuple(values)))


# --- what is loaded -------------------------------------------------------------------------------


def mark_loaded(
    graph: Graph, made: Iterable[Operation], functions: Mapping[str, Any], message: Any, text: str
) -> None:
    """Mark what reaches outside of the session in a graph that was imported.

    Args:
        graph: where it is now.
        made: its operations.
        functions: its FunctionDefs by name.
        message: the GraphDef, with all attributes.
        text: where it came from.
    """
    allowed = _allowed()
    if _ALL in allowed:
        return
    suspects = {t for t in {node.op for node in message.node} - allowed if _may_reach(t)}
    found = [op for op in made if op.type in suspects and reach_of(op.op_def, op.attrs)]
    types = {name: {n.op for n in f.node_def} - allowed for name, f in functions.items()}
    called = [name for name, inside in types.items() if any(map(_may_reach, inside))]
    if (found or called) and not _own_nodes.issuperset(_marks_of(message)):
        origin = Origin(text, allowed)
        graph._loaded_ops.update(dict.fromkeys(found, origin))
        graph._loaded_functions.update(dict.fromkeys(called, origin))


def mark_body(graph: Graph, function: str, made: Iterable[Operation]) -> None:
    """Mark the operations of a function's body, where the function was loaded."""
    origin = graph._loaded_functions.get(function)
    if origin is not None:
        for op in made:
            if op.type not in origin.allowed and reach_of(op.op_def, op.attrs):
                graph._loaded_ops[op] = origin


def marks_within(body: Graph, function: str) -> dict[str, Origin]:
    """The marks of a function that a program has made around loaded operations; and of others."""
    marks = dict(body._loaded_functions)
    if body._loaded_ops:
        marks[function] = next(iter(body._loaded_ops.values()))
    return marks


# --- what is run ----------------------------------------------------------------------------------


def check_loaded(
    graph: Graph,
    needed: Iterable[Operation],
    feeds: Iterable[Tensor],
    stand_ins: Mapping[Any, Any],
) -> None:
    """Raise PermissionDeniedError where a step needs what a loaded graph may not do.

    Args:
        graph: the program's graph.
        needed: what the step runs; bodies of functions, too.
        feeds: what the step is given.
        stand_ins: what is read in place of what calls of functions give.
    """
    needed = list(needed)
    names = _Names(graph, needed, feeds, stand_ins)
    for op in needed:
        origin = op.graph._loaded_ops.get(op)
        if origin is not None:
            reach = reach_of(op.op_def, op.attrs)
            if reach is not None and not names.are_given(op, reach):
                raise PermissionDeniedError(None, op, _refusal(op, reach, origin))


def _refusal(op: Operation, reach: Reach, origin: Origin) -> str:
    return (
        f"'{op.name}' is a {op.type} operation of {origin.text}, and {op.type} {reach.does}: a "
        "loaded graph may not, unless the program says so. If you trust who wrote it, load it in "
        f"`with tf.allow_loaded_ops({op.type!r}):`, or set {_VARIABLE}={op.type} in the "
        "environment. What is done to files that are named by a feed needs no permission."
    )


class _Names:
    """Which texts of a step are the program's own: those that it feeds, and what begins so."""

    def __init__(
        self,
        graph: Graph,
        needed: Sequence[Operation],
        feeds: Iterable[Tensor],
        stand_ins: Mapping[Any, Any],
    ) -> None:
        # The arguments of a dataset's function are fed by the dataset.
        self._fed = frozenset(tensor for tensor in feeds if tensor.op.graph is graph)
        self._stand_ins = stand_ins
        self._needed = needed

    def are_given(self, op: Operation, reach: Reach) -> bool:
        """Whether the program names all files that an operation is about."""
        inputs = [arg.name for arg in op.op_def.inputs]
        named = [op.inputs[inputs.index(name)] for name in reach.names]
        return bool(named) and all(map(self._begins_with_fed, named))

    def _begins_with_fed(self, tensor: Tensor) -> bool:
        """Whether a text is one that is fed, with nothing behind it that leads elsewhere."""
        while tensor not in self._fed:
            tensor = self._stand_ins.get(tensor, tensor)
            op = tensor.op
            if op.type == "Pack":
                return all(map(self._begins_with_fed, op.inputs))
            if op.type == "ReadVariableOp":
                return self._reads_what_is_fed(op)
            if op.type == "StringJoin":
                others = all(map(self._stays, op.inputs[1:]))
                if not others or _leads_up(op.attrs["separator"]):
                    return False
            elif op.type not in _HANDS_ON:
                return tensor in self._fed
            tensor = op.inputs[0]
        return True

    def _reads_what_is_fed(self, read: Operation) -> bool:
        """Whether a variable was just assigned what is fed: a SavedModel's tables read such names.

        No other variable of texts may be assigned anything else: it might be the same one.
        """
        writers = [
            op for op in self._needed if op.type in _WRITES and op.attrs.get("dtype") is string
        ]
        return any(
            op in read.control_inputs and op.inputs[0] is read.inputs[0] for op in writers
        ) and all(
            op.type == "AssignVariableOp" and self._begins_with_fed(op.inputs[1]) for op in writers
        )

    def _stays(self, tensor: Tensor) -> bool:
        """Whether a text is a constant, or one of several, that names no directory above."""
        waiting = [tensor]
        while waiting:
            tensor = waiting.pop()
            if tensor in self._fed:
                continue
            value = constant_value(tensor)
            if value is not None:
                if value.dtype == object and any(map(_leads_up, value.flat)):
                    return False
            elif tensor.op.type in _CHOOSES:
                waiting += tensor.op.inputs
            else:
                return False
        return True


def _leads_up(text: bytes) -> bool:
    """Whether a text may, with others around it, name the directory above."""
    return b".." in text or text.endswith(b".") or text.startswith(b"./")
