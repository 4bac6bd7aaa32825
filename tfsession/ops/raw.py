"""`tf.raw_ops`: a function for each op, made from its definition when it is first asked for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from tfsession.core.exports import Deferred, export_value
from tfsession.core.op_def import NO_DEFAULT, AttrDef, OpDef, ops
from tfsession.graph.create import create_op

# Arguments that TensorFlow's Python has under another name than the op: op type -> old, new name.
_REDUCTIONS: Final = ("All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum")
_RENAMED: Final = {
    **{op_type: {"reduction_indices": "axis"} for op_type in _REDUCTIONS},
    "ExpandDims": {"dim": "axis"},
    "Select": {"t": "x", "e": "y"},
    "Split": {"split_dim": "axis"},
    "SplitV": {"split_dim": "axis"},
    "Squeeze": {"squeeze_dims": "axis"},
    "Where": {"input": "condition"},
}
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")


def export_all() -> None:
    """Show each op that is defined as `raw_ops.<op type>`."""
    for op_type in list(ops.names()):
        export_value(Deferred(partial(_function, op_type)), f"raw_ops.{op_type}")


def _function(op_type: str) -> Callable[..., Any]:
    op_def = ops[op_type]
    renamed = _RENAMED.get(op_type, {})
    own = [attr for attr in op_def.attrs.values() if attr.name not in op_def.inferred]
    required = [attr.name for attr in own if attr.default is NO_DEFAULT]
    # The name of each argument, and what the op calls it.
    sources = {renamed.get(arg.name, arg.name): arg.name for arg in op_def.inputs}
    input_count = len(sources)
    sources |= {renamed.get(name, name): name for name in required}
    needed = list(sources)
    optional = [attr for attr in own if attr.default is not NO_DEFAULT]
    sources |= {renamed.get(attr.name, attr.name): attr.name for attr in optional}
    title = "_".join(_WORDS.split(op_type)).lower()

    def raw_op(*args: Any, **kwargs: Any) -> Any:
        if args:
            raise TypeError(
                f"{title} only takes keyword args (possible keys: {[*sources, 'name']}). "
                "Please pass these args as kwargs instead."
            )
        name = kwargs.pop("name", None)
        for key in kwargs:
            if key not in sources:
                raise TypeError(f"{title}() got an unexpected keyword argument {key!r}")
        if missing := [key for key in needed if key not in kwargs]:
            raise TypeError(_missing(title, missing))
        inputs = [kwargs.pop(key) for key in needed[:input_count]]
        return create_op(op_type, inputs, {sources[k]: v for k, v in kwargs.items()}, name)

    defaults = [_shown(attr) for attr in optional]
    raw_op.__signature__ = _signature(list(sources), len(needed), defaults)  # type: ignore[attr-defined]
    raw_op.__name__ = raw_op.__qualname__ = title
    raw_op.__module__ = "tfsession.raw_ops"
    raw_op.__doc__ = _doc(op_def)
    return raw_op


def _missing(title: str, names: Sequence[str]) -> str:
    """What Python says of arguments that are missing."""
    quoted = [repr(name) for name in names]
    if len(quoted) > 2:
        quoted = [", ".join(quoted[:-1]) + ",", quoted[-1]]
    plural = "s" if len(names) > 1 else ""
    return (
        f"{title}() missing {len(names)} required positional argument{plural}: "
        f"{' and '.join(quoted)}"
    )


def _signature(names: list[str], needed: int, defaults: list[Any]) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    values = [inspect.Parameter.empty] * needed + defaults
    parameters = [inspect.Parameter(n, kind, default=v) for n, v in zip(names, values, strict=True)]
    return inspect.Signature([*parameters, inspect.Parameter("name", kind, default=None)])


def _shown(attr: AttrDef) -> Any:
    """A default value as a program would write it."""
    if attr.type == "float":
        return float(str(np.float32(attr.default)))
    if attr.type == "shape":
        return None if attr.default is None else list(attr.default)
    return attr.default.decode() if isinstance(attr.default, bytes) else attr.default


def _doc(op_def: OpDef) -> str:
    inputs, outputs, attrs = (", ".join(texts) or "none" for texts in op_def.texts)
    return (
        f"The op {op_def.name}; arguments are given by name.\n\n"
        f"Inputs: {inputs}.\nOutputs: {outputs}.\nAttributes: {attrs}."
    )
