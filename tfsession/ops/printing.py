"""Printing in a step: `tf.print` and the older `tf.Print`."""

from __future__ import annotations

import logging
import os
import pprint
import random
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from tfsession.core import nest, verbosity
from tfsession.core.dtypes import string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, same_as
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor

define_op(
    "Print",
    inputs=["input: T", "data: U"],
    outputs=["output: T"],
    attrs=[
        "T: type",
        "U: list(type) >= 0",
        "message: string = ''",
        "first_n: int = -1",
        "summarize: int = 3",
    ],
    stateful=True,
    shape=same_as(0),
)
define_op(
    "PrintV2",
    inputs=["input: string"],
    attrs=["output_stream: string = 'stderr'", "end: string = '\n'"],
    stateful=True,
    shape=no_outputs,
)


@export("Print")
def print_(
    input_: Any,
    data: Sequence[Any],
    message: str | None = None,
    first_n: int | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Tensor:
    """`input_` itself; a step that computes it writes `data` to the standard error stream.

    Args:
        input_: a tensor.
        data: tensors to show.
        message: what to say before them.
        first_n: how many times to print; each time when None or negative.
        summarize: how many elements of each to show; 3 when None, all when negative.
        name: name of the operation.
    """
    attrs = {"message": message, "first_n": first_n, "summarize": summarize}
    result: Tensor = create_op("Print", [input_, list(data)], attrs, name)
    return result


_STREAMS = {
    **dict.fromkeys((verbosity.info, logging.info, logging.INFO), "log(info)"),
    **dict.fromkeys((verbosity.warning, logging.warning, logging.WARNING), "log(warning)"),
    **dict.fromkeys((verbosity.error, logging.error, logging.ERROR), "log(error)"),
}


@export("print")
def print_v2(*inputs: Any, **kwargs: Any) -> Operation:
    """An operation that prints, when a step runs it: `tf.control_dependencies` makes steps do so.

    Args:
        inputs: tensors, and anything else, also in nests of lists, tuples and dicts.
        kwargs: `output_stream`, `sys.stderr` if it is not given: also `sys.stdout`, a function or
            level of `tf.logging`, or the path of a file to append to as "file://path". `summarize`:
            how many elements to show at both ends of each dimension, 3 if it is not given, all when
            negative. `sep`, `end`: what stands between inputs, and behind them. `name`: name of
            the operation.

    Raises:
        ValueError: another argument, or another stream.
    """
    stream = kwargs.pop("output_stream", sys.stderr)
    name, summarize = kwargs.pop("name", None), kwargs.pop("summarize", 3)
    sep, end = kwargs.pop("sep", " "), kwargs.pop("end", os.linesep)
    if kwargs:
        raise ValueError(f"Unrecognized keyword arguments for tf.print: {kwargs}")
    attrs = {"output_stream": _stream_name(stream), "end": end}
    if len(inputs) == 1 and _is_text(inputs[0]):
        text = inputs[0]
    else:
        template, placeholder, tensors = _template(inputs, sep)
        form = {"template": template, "placeholder": placeholder, "summarize": summarize}
        text = create_op("StringFormat", [tensors], form, f"{name}_format" if name else None)
    result: Operation = create_op("PrintV2", [text], attrs, name)
    return result


def _stream_name(stream: Any) -> str:
    if isinstance(stream, str) and stream.startswith("file://"):
        return stream
    for known, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        if stream is known:
            return name
    try:
        return _STREAMS[stream]
    except (KeyError, TypeError):
        raise ValueError(
            f"Unsupported output stream, logging level, or file.{stream}. Supported streams are "
            "sys.stdout, sys.stderr, tf.logging.info, tf.logging.warning, tf.logging.error. File "
            "needs to be in the form of 'file://<filepath>'."
        ) from None


def _is_text(value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape.ndims == 0 and value.dtype == string


def _template(inputs: Sequence[Any], sep: str) -> tuple[str, str, list[Tensor]]:
    """What to print, with a text that comes nowhere else in place of each tensor."""
    ordered = [
        OrderedDict(sorted(item.items())) if isinstance(item, OrderedDict) else item
        for item in inputs
    ]
    plain = nest.map_structure(
        lambda leaf: "" if isinstance(leaf, Tensor | SparseTensor) else leaf, ordered
    )
    everything = " ".join(pprint.pformat(item) for item in plain)
    placeholder, rng = "{}", random.Random(5)
    while placeholder in everything:
        placeholder += str(rng.randint(0, 9))
    tensors: list[Tensor] = []
    templates = []
    for item in inputs:
        leaves = []
        for leaf in nest.flatten(item):
            if isinstance(leaf, SparseTensor):
                tensors += [leaf.indices, leaf.values, leaf.dense_shape]
                parts = ", ".join(
                    f"{part}={placeholder}" for part in ("indices", "values", "shape")
                )
                leaves.append(f"SparseTensor({parts})")
            elif isinstance(leaf, Tensor):
                tensors.append(leaf)
                leaves.append(placeholder)
            else:
                leaves.append(leaf)
        shown = item if isinstance(item, str) else pprint.pformat(nest.pack(item, leaves))
        templates.append(shown)
    return sep.join(templates).replace(f"'{placeholder}'", placeholder), placeholder, tensors
