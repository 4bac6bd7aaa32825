"""Checks of what tensors are: their ranks, dtypes and shapes, at once where they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype, float32, int32
from tfsession.core.exports import export
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, greater_equal, less, logical_or
from tfsession.ops.constant import no_op, with_dependencies
from tfsession.ops.control import assert_
from tfsession.ops.reduce import reduce_all
from tfsession.ops.shape import rank as rank_of
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.shape import size
from tfsession.ops.unary import abs as abs_


def prefix_of(message: str | None) -> str:
    """What stands before an error's text."""
    return f"{message}.  " if message else ""


def dense_shape_of(x: Any) -> Tensor:
    """The shape of a tensor, or of a SparseTensor, int32."""
    if not isinstance(x, SparseTensor):
        return shape_of(x)
    with x.indices.graph.name_scope("Shape"):
        return cast(x.dense_shape, int32, name="Cast")


# --- ranks ----------------------------------------------------------------------------------------


@export("assert_rank", "debugging.assert_rank")
def assert_rank(
    x: Any,
    rank: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x` has the rank.

    Args:
        x: a tensor, or a SparseTensor.
        rank: an int32 scalar.
        data: what to show.
        summarize: how many elements of each to show; 3 when None.
        message: what to say first.
        name: name scope of the operations.

    Raises:
        ValueError: at once, when the rank of `x` is known and another one, or `rank` is no scalar.
    """
    return _ranked(
        "assert_rank", "must have rank", x, [rank], lambda found, wanted: found == wanted[0],
        lambda found, wanted: equal(found, wanted[0]), data, summarize, message, name,
    )  # fmt: skip


@export("assert_rank_at_least", "debugging.assert_rank_at_least")
def assert_rank_at_least(
    x: Any,
    rank: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x` has the rank, or a higher one; see `assert_rank`."""
    return _ranked(
        "assert_rank_at_least", "must have rank at least", x, [rank],
        lambda found, wanted: found >= wanted[0],
        lambda found, wanted: greater_equal(found, wanted[0]), data, summarize, message, name,
    )  # fmt: skip


@export("assert_rank_in", "debugging.assert_rank_in")
def assert_rank_in(
    x: Any,
    ranks: Iterable[Any],
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x` has one of the ranks; see `assert_rank`."""
    return _ranked(
        "assert_rank_in", "must have rank in", x, list(ranks),
        lambda found, wanted: found in wanted, _is_one_of, data, summarize, message, name,
    )  # fmt: skip


def _is_one_of(found: Tensor, wanted: list[Tensor]) -> Tensor:
    if not wanted:
        return convert_to_tensor(False)
    result = equal(wanted[0], found)
    for rank in wanted[1:]:
        result = logical_or(result, equal(rank, found))
    return result


def _ranked(
    opname: str, words: str, x: Any, ranks: list[Any],
    holds_now: Callable[[int, list[int]], bool], holds: Callable[[Any, Any], Tensor],
    data: Sequence[Any] | None, summarize: int | None, message: str | None, name: str | None,
) -> Operation:  # fmt: skip
    graph = graph_of([*([] if isinstance(x, SparseTensor) else [x]), *ranks, *(data or [])])
    with graph.as_default(), graph.name_scope(name or opname):
        if not isinstance(x, SparseTensor):
            x = convert_to_tensor(x, name="x")
        tensors = [convert_to_tensor(rank, name="rank") for rank in ranks]
        shown = "" if isinstance(x, SparseTensor) else x.name
        prefix = prefix_of(message)
        if data is None:
            said = [prefix, f"Tensor {shown} {words}"]
            data = [*said, *tensors, "Received shape: ", dense_shape_of(x)]
        for tensor in tensors:
            assert_type(tensor, int32)
        known = [get_static_value(tensor) for tensor in tensors]
        if all(value is not None for value in known):
            if any(value.ndim for value in known):
                raise ValueError("Rank must be a scalar.")
            wanted = [int(value) for value in known]
            found = x.get_shape().ndims
            if found is not None:
                if holds_now(found, wanted):
                    return no_op("static_checks_determined_all_ok")
                told = wanted[0] if opname != "assert_rank_in" else tuple(wanted)
                raise ValueError(
                    f"{prefix}Tensor {shown} {words} {told}.  Received rank {found}, shape "
                    f"{x.get_shape()}"
                )
        ndims = size(x.dense_shape) if isinstance(x, SparseTensor) else rank_of(x)
        condition = holds(ndims, tensors)
        for tensor, value in zip(tensors, known, strict=True):
            if value is None:
                check = assert_rank(tensor, 0, ["Rank must be a scalar. Received rank: ", tensor])
                condition = with_dependencies([check], condition)
        return assert_(condition, data, summarize)


@export("assert_scalar", "debugging.assert_scalar")
def assert_scalar(tensor: Any, name: str | None = None, message: str | None = None) -> Tensor:
    """The tensor itself.

    Raises:
        ValueError: it is not known to be a scalar.
    """
    with graph_of([tensor]).as_default() as graph, graph.name_scope(name or "assert_scalar") as at:
        found: Tensor = convert_to_tensor(tensor, name=at)
        shape = found.get_shape()
        if shape.ndims != 0:
            raise ValueError(
                f"{prefix_of(message)}Expected scalar shape for {found.name}, saw shape: {shape}."
            )
        return found


# --- dtypes ---------------------------------------------------------------------------------------


@export("assert_type", "debugging.assert_type")
def assert_type(
    tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None
) -> Operation:
    """An operation that does nothing.

    Raises:
        TypeError: the tensor has another dtype than `tf_type`.
    """
    wanted = as_dtype(tf_type)
    values = [] if isinstance(tensor, SparseTensor) else [tensor]
    with graph_of(values).as_default() as graph, graph.name_scope(name or "assert_type"):
        if not isinstance(tensor, SparseTensor):
            tensor = convert_to_tensor(tensor, name="tensor")
        if tensor.dtype != wanted:
            shown = getattr(tensor, "name", "tensor")
            raise TypeError(
                f"{prefix_of(message)}{shown} must be of type {wanted!r}; got {tensor.dtype!r}"
            )
        return no_op("statically_determined_correct_type")


@export("assert_integer", "debugging.assert_integer")
def assert_integer(x: Any, message: str | None = None, name: str | None = None) -> Operation:
    """An operation that does nothing.

    Raises:
        TypeError: the dtype of `x` is no integer one.
    """
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "assert_integer"):
        x = convert_to_tensor(x, name="x")
        if not x.dtype.is_integer:
            raise TypeError(
                f'{prefix_of(message)}Expected "x" to be integer type.  Found: {x.name} of dtype '
                f"{x.dtype}"
            )
        return no_op("statically_determined_was_integer")


@export("is_numeric_tensor", "debugging.is_numeric_tensor")
def is_numeric_tensor(tensor: Any) -> bool:
    """Whether it is a Tensor of numbers: none of truth values, texts, or other objects."""
    if not isinstance(tensor, Tensor) or tensor.dtype._is_ref_dtype:
        return False
    return tensor.dtype.is_numeric or tensor.dtype.is_quantized


@export("assert_same_float_dtype", "debugging.assert_same_float_dtype")
def assert_same_float_dtype(tensors: Sequence[Any] | None = None, dtype: Any = None) -> DType:
    """The one floating dtype of tensors, and of `dtype`; float32 when there are none.

    Raises:
        ValueError: they differ, or are not floating.
    """
    first = None
    for tensor in tensors or []:
        if tensor is None:
            continue
        found = tensor.dtype.base_dtype
        if not dtype:
            dtype, first = found, tensor
        elif dtype != found:
            reference = f" as {getattr(first, 'name', first)}" if first is not None else ""
            raise ValueError(
                f"{getattr(tensor, 'name', tensor)}, type={found}, must be of the same type "
                f"({dtype}){reference}."
            )
    if not dtype:
        return float32
    if not dtype.is_floating:
        raise ValueError(f"Expected floating point type, got {dtype}.")
    result: DType = dtype
    return result


@export("assert_proper_iterable", "debugging.assert_proper_iterable")
def assert_proper_iterable(values: Any) -> None:
    """Nothing.

    Raises:
        TypeError: `values` is no iterable, or a tensor, an array or a text.
    """
    if isinstance(values, Tensor | SparseTensor | np.ndarray | bytes | str):
        raise TypeError(
            f'Expected argument "values" to be a "proper" iterable.  Found: {type(values)}'
        )
    if not hasattr(values, "__iter__"):
        raise TypeError(f'Expected argument "values" to be iterable.  Found: {type(values)}')


# --- values that are almost equal -----------------------------------------------------------------


@export("assert_near", "debugging.assert_near")
def assert_near(
    x: Any,
    y: Any,
    rtol: Any = None,
    atol: Any = None,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `|x - y| < atol + rtol * |y|` everywhere.

    Args:
        x: a tensor of floats or complex numbers.
        y: a tensor of its dtype, which broadcasts with it.
        rtol: relative tolerance, a scalar; ten times the dtype's epsilon when None.
        atol: absolute tolerance, a scalar; ten times the dtype's epsilon when None.
        data: what to show; the values of both by default.
        summarize: how many elements of each to show; 3 when None.
        message: what to say first.
        name: name scope of the operations.
    """
    graph = graph_of([x, y, *(t for t in (rtol, atol) if t is not None), *(data or [])])
    with graph.as_default(), graph.name_scope(name or "assert_near"):
        x = convert_to_tensor(x, name="x")
        y = convert_to_tensor(y, x.dtype, name="y")
        dtype = x.dtype.real_dtype if x.dtype.is_complex else x.dtype
        # The smallest float above one is one and epsilon.
        one = dtype.as_numpy_dtype(1)
        epsilon = float(np.nextafter(one, dtype.as_numpy_dtype(2)) - one)
        rtol = convert_to_tensor(10 * epsilon if rtol is None else rtol, dtype, name="rtol")
        atol = convert_to_tensor(10 * epsilon if atol is None else atol, dtype, name="atol")
        if data is None:
            data = [
                prefix_of(message),
                f"x and y not equal to tolerance rtol = {rtol}, atol = {atol}",
                *(f"x ({x.name}) = ", x, f"y ({y.name}) = ", y),
            ]
        tolerance = atol + rtol * abs_(y)
        return assert_(reduce_all(less(abs_(x - y), tolerance)), data, summarize)
