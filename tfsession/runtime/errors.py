"""What went wrong in a step, told as TensorFlow tells it: class, text, node, and its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType
from typing import Any, TypeAlias

from tfsession.core import errors as codes
from tfsession.core.errors import (
    InternalError,
    InvalidArgumentError,
    OpError,
    ResourceExhaustedError,
    error_from_code,
)
from tfsession.core.waiting import Stop
from tfsession.devices.memory import exhausted_text
from tfsession.graph.operation import Operation

_BROADCAST_FAILED = "operands could not be broadcast together"
_NO_SCALAR = re.compile(r"only \S+ (?:scalar )?arrays can be converted to ")
_ARRAY_SHAPE = re.compile(r"\(([\d, ]*)\)")
_NODE_TAG = re.compile(r"\{\{(?:colocation_)?node ([^}]+)\}\}")


# The operation of a line of a segment's text, or those of the lines of a piece called there.
Ops: TypeAlias = "Operation | list[Ops] | None"


def failure_of(
    error: BaseException, code: CodeType | None, ops_by_line: Sequence[Ops]
) -> BaseException:
    """The error to raise for one that a kernel raised, naming the operation.

    `code` is the segment's code, whose line numbers index `ops_by_line`; None takes the first.
    """
    if isinstance(error, Stop):
        return error.error
    if not isinstance(error, Exception):
        return error.with_traceback(None)  # that would keep the step's frames, and their arrays
    op = _failed_op(error, code, ops_by_line)
    kind: Callable[[Any, Any, str], BaseException]
    if isinstance(error, OpError):
        if error.op is not None or _NODE_TAG.search(error.message):
            return error.with_traceback(None)  # it names its node already
        kind, text = partial(error_from_code, error_code=error.error_code), error.message
    elif isinstance(error, MemoryError):
        kind, text = ResourceExhaustedError, _exhausted(error)
    elif isinstance(error, ValueError | IndexError | OverflowError):
        kind, text = InvalidArgumentError, _text_of(str(error))
    elif isinstance(error, TypeError) and _NO_SCALAR.match(str(error)):
        kind, text = InvalidArgumentError, "An input that must be a scalar is none"
    else:
        kind, text = InternalError, f"{type(error).__name__}: {error}"
    if op is None:
        return kind(None, None, text)
    return kind(op.node_def, op, f"{text}\n\t [[{{{{node {op.name}}}}}]]")


def _exhausted(error: MemoryError) -> str:
    """What NumPy says when the machine has no more memory, in TensorFlow's words."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is None or dtype is None:
        return f"OOM when allocating tensor: {error}"
    return f"{exhausted_text(0, shape, dtype, 'the host', 'cpu')}: the machine has no more memory"


def _text_of(text: str) -> str:
    """An array library's words in TensorFlow's, so that ufuncs can be kernels without a wrapper."""
    if not text.startswith(_BROADCAST_FAILED):
        return text
    found = _ARRAY_SHAPE.findall(text)
    shapes = ["[" + ",".join(re.findall(r"\d+", sizes)) + "]" for sizes in found]
    return f"Incompatible shapes: {' vs. '.join(shapes[:2])}"


def _failed_op(
    error: Exception, code: CodeType | None, ops_by_line: Sequence[Ops]
) -> Operation | None:
    found, traceback = ops_by_line[0], error.__traceback__ if code is not None else None
    while traceback is not None:
        if isinstance(found, list) or traceback.tb_frame.f_code is code:
            found = (found if isinstance(found, list) else ops_by_line)[traceback.tb_lineno - 1]
            if not isinstance(found, list):
                break
        traceback = traceback.tb_next
    return None if isinstance(found, list) else found


_ENRICHED = "Graph execution error:"


def enriched(error: OpError, graph: Any) -> OpError:
    """The error with the user's lines that made the nodes it names, as `Session.run` raises it."""
    text = error.message
    if text.startswith(_ENRICHED):  # that of another step, which a handle's value needed
        return error
    lines = [_ENRICHED, ""]
    for name in dict.fromkeys(_NODE_TAG.findall(text)):
        op = graph._ops.get(name)
        if op is not None:
            lines.append(f"Detected at node '{name}' defined at (most recent call last):")
            lines.extend(
                f'    File "{frame.filename}", line {frame.lineno}, in {frame.name}'
                for frame in op.traceback
            )
            lines.append(f"Node: '{name}'")
    lines.append(text)
    return error_from_code(error.node_def, error.op, "\n".join(lines), error.error_code)


def combined(failures: Sequence[BaseException]) -> BaseException:
    """One error for all that a step ended with, in TensorFlow's words where there are several."""
    first = failures[0]
    roots = [error for error in failures if isinstance(error, OpError)]
    if len(roots) < 2 or not isinstance(first, OpError):
        return first
    lines = [f"{len(roots)} root error(s) found."]
    for number, error in enumerate(roots):
        lines.append(f"  ({number}) {_code_name(error.error_code)}: {error.message}")
    lines += ["0 successful operations.", "0 derived errors ignored."]
    text = "\n".join(lines)
    return error_from_code(first.node_def, first.op, text, first.error_code)


def _code_name(code: int) -> str:
    return next((k for k, v in vars(codes).items() if type(v) is int and v == code), str(code))


def plain(error: OpError) -> OpError:
    """The error without the operation, as callables without a feed list raise it."""
    return error_from_code(None, None, error.message, error.error_code)
