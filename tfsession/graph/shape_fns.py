"""Building blocks of shape functions: small functions of an operation that give output shapes.

A shape function is `f(op) -> list of shapes`, one for each output; it raises ValueError with
TensorFlow's words, to which the graph adds the node and its input shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tfsession.core import shape as shape_lib
from tfsession.core.shape import Shape

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation

ShapeFunction = Callable[["Operation"], list[Shape]]


def scalar(op: Operation) -> list[Shape]:
    """Every output is a scalar."""
    return [()] * len(op.outputs)


def unknown(op: Operation) -> list[Shape]:
    """Nothing is known of the outputs."""
    return [None] * len(op.outputs)


def no_outputs(op: Operation) -> list[Shape]:
    """There are no outputs."""
    return []


def same_as(index: int) -> ShapeFunction:
    """The only output has the shape of input `index`."""

    def shape(op: Operation) -> list[Shape]:
        return [op.inputs[index]._shape]

    return shape


def unchanged(min_rank: int = 0) -> ShapeFunction:
    """The only output has the shape of the first input, whose rank is at least `min_rank`."""

    def shape(op: Operation) -> list[Shape]:
        first = op.inputs[0]._shape
        with_rank_at_least(first, min_rank)
        return [first]

    return shape if min_rank else same_as(0)


def broadcast(op: Operation) -> list[Shape]:
    """The only output has the shape to which the first two inputs broadcast."""
    a, b = op.inputs[0]._shape, op.inputs[1]._shape
    if a is b or (a == b and a is not None and None not in a):
        return [a]
    return [shape_lib.broadcast(a, b)]


def merged(op: Operation) -> list[Shape]:
    """All inputs have one shape, and so has the only output."""
    shape: Shape = None
    for tensor in op.inputs:
        shape = shape_lib.merge(shape, tensor._shape)
    return [shape]


def with_rank(shape: Shape, rank: int) -> Shape:
    """`shape` with its rank known to be `rank`; raises ValueError when it is another."""
    if shape is None:
        return (None,) * rank
    if len(shape) != rank:
        raise ValueError(f"Shape must be rank {rank} but is rank {len(shape)}")
    return shape


def with_rank_at_least(shape: Shape, rank: int) -> Shape:
    """`shape`; raises ValueError when its rank is known to be under `rank`."""
    if shape is not None and len(shape) < rank:
        raise ValueError(f"Shape must be at least rank {rank} but is rank {len(shape)}")
    return shape


def with_rank_at_most(shape: Shape, rank: int) -> Shape:
    """`shape`; raises ValueError when its rank is known to be over `rank`."""
    if shape is not None and len(shape) > rank:
        raise ValueError(f"Shape must be at most rank {rank} but is rank {len(shape)}")
    return shape


def input_rank(op: Operation, index: int, rank: int) -> Shape:
    """The shape of an input, which must have the given rank."""
    return with_rank(op.inputs[index]._shape, rank)


def merge_dims(a: int | None, b: int | None) -> int | None:
    """The one dimension that two must be; raises ValueError when both are known and differ."""
    if a is None:
        return b
    if b is not None and a != b:
        raise ValueError(f"Dimensions must be equal, but are {a} and {b}")
    return a


def product(dims: Iterable[int | None]) -> int | None:
    """The number of elements, or None when a dimension is unknown (and none is zero)."""
    result: int | None = 1
    for dim in dims:
        if dim == 0:
            return 0
        result = None if result is None or dim is None else result * dim
    return result
