"""Summaries of activations, variables and collections: `tf.contrib.layers.summarize_activation`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal
from tfsession.ops.nn import zero_fraction
from tfsession.ops.reduce import reduce_mean
from tfsession.ops.summary import histogram, scalar

Summarizer = Callable[[Any], Any]


def _shown(name: str) -> Callable[[Any], Any]:
    return export(f"contrib.layers.{name}", f"contrib.slim.{name}")


@_shown("summarize_tensor")
def summarize_tensor(tensor: Any, tag: str | None = None) -> Tensor:
    """The summary of a tensor or variable: its number if it is a scalar, else its histogram."""
    name = tag or f"{tensor.op.name}_summary"
    return scalar(name, tensor) if tensor.shape.ndims == 0 else histogram(name, tensor)


@_shown("summarize_activation")
def summarize_activation(op: Tensor) -> Tensor:
    """A histogram of a layer's output; of ReLUs, how many are zero (and six), too."""
    kind = op.op.type
    if kind in ("Relu", "Softplus", "Relu6"):
        scalar(f"{op.op.name}/zeros", zero_fraction(op))
    if kind == "Relu6":
        scalar(f"{op.op.name}/sixes", reduce_mean(cast(equal(op, 6.0), "float32")))
    return histogram(f"{op.op.name}/activation", op)


@_shown("summarize_tensors")
def summarize_tensors(
    tensors: Iterable[Any], summarizer: Summarizer = summarize_tensor
) -> list[Any]:
    """The summaries of tensors."""
    return [summarizer(tensor) for tensor in tensors]


@_shown("summarize_collection")
def summarize_collection(
    collection: str, name_filter: str | None = None, summarizer: Summarizer = summarize_tensor
) -> list[Any]:
    """The summaries of what is in a collection, of those whose names a pattern fits if given."""
    found = get_default_graph().get_collection(collection)
    if name_filter is not None:
        found = [tensor for tensor in found if re.match(name_filter, tensor.op.name)]
    return summarize_tensors(found, summarizer)


@_shown("summarize_activations")
def summarize_activations(
    name_filter: str | None = None, summarizer: Summarizer = summarize_activation
) -> list[Any]:
    """The summaries of the collection ACTIVATIONS."""
    return summarize_collection(GraphKeys.ACTIVATIONS, name_filter, summarizer)


def _of(name: str, key: str) -> None:
    def summarize(
        name_filter: str | None = None, summarizer: Summarizer = summarize_tensor
    ) -> list[Any]:
        return summarize_collection(key, name_filter, summarizer)

    summarize.__name__, summarize.__doc__ = name, f"The summaries of the collection {key}."
    _shown(name)(summarize)


_of("summarize_weights", GraphKeys.WEIGHTS)
_of("summarize_biases", GraphKeys.BIASES)
_of("summarize_variables", GraphKeys.TRAINABLE_VARIABLES)
