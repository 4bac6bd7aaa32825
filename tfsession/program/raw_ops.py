"""`tf.raw_ops`: a function for each op, made from its definition when it is first asked for.

The same with arguments by place is what TensorFlow's `gen_nn_ops` and their like hold.
"""

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
# Where one word of an op's name ends and the next begins.
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")


_BY_KEYWORD, _POSITIONAL = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _title(op_type: str) -> str:
    """The op's name in small letters: `Conv2DBackpropInput` is conv2d_backprop_input."""
    return "_".join(_WORDS.split(op_type)).lower()


def _function(op_type: str, by_keyword: bool) -> Callable[..., Any]:
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
    title = _title(op_type)

    def positional(*args: Any, **kwargs: Any) -> Any:
        names = [*sources, "name"]
        if len(args) > len(names):
            raise TypeError(
                f"{title}() takes from {len(needed)} to {len(names)} positional arguments but "
                f"{len(args)} were given"
            )
        given = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key in given:
                raise TypeError(f"{title}() got multiple values for argument {key!r}")
            if key not in names:
                raise TypeError(f"{title}() got an unexpected keyword argument {key!r}")
            given[key] = value
        if missing := [key for key in needed if key not in given]:
            raise TypeError(_missing(title, missing))
        name = given.pop("name", None)
        inputs = [given.pop(key) for key in needed[:input_count]]
        return create_op(op_type, inputs, {sources[k]: v for k, v in given.items()}, name)

    def by_name(*args: Any, **kwargs: Any) -> Any:
        if args:
            raise TypeError(
                f"{title} only takes keyword args (possible keys: {[*sources, 'name']}). "
                "Please pass these args as kwargs instead."
            )
        return positional(**kwargs)

    raw_op = by_name if by_keyword else positional
    defaults = [_shown(attr) for attr in optional]
    kind = _BY_KEYWORD if by_keyword else _POSITIONAL
    raw_op.__signature__ = _signature(kind, list(sources), len(needed), defaults)  # type: ignore[attr-defined]
    raw_op.__name__ = raw_op.__qualname__ = title
    raw_op.__module__ = f"tfsession.{'raw_ops' if by_keyword else 'python.ops.gen_ops'}"
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


def _signature(
    kind: Any, names: Sequence[str], needed: int, defaults: Sequence[Any]
) -> inspect.Signature:
    values = [*[inspect.Parameter.empty] * needed, *defaults]
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


for _op_type in list(ops.names()):
    export_value(Deferred(partial(_function, _op_type, True)), f"raw_ops.{_op_type}")
    # What TensorFlow generates for its own use, and programs call for an op without a public name:
    # gen_nn_ops.relu_grad(dy, y).
    export_value(Deferred(partial(_function, _op_type, False)),
                 f"python.ops.gen_ops.{_title(_op_type)}")  # fmt: skip
