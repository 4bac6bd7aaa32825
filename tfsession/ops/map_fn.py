"""A function of each slice of tensors: `map_fn`, as a loop over TensorArrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import as_dtype
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.composite import composite_type_of
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.variable_scope import get_variable_scope
from tfsession.ops.while_loop import while_loop


@export("map_fn")
def map_fn(
    fn: Callable[[Any], Any],
    elems: Any,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str | None = None,
    fn_output_signature: Any = None,
) -> Any:
    """What `fn` gives for each slice of `elems` along the first dimension, stacked.

    `fn` is called once, now: it builds what each iteration of a loop runs.

    Args:
        fn: takes a slice of each tensor, in the structure of `elems`.
        elems: a tensor or a nest of them, of the same first size.
        dtype: the dtypes that `fn` gives, in the structure in which it does; those of `elems` when
            None.
        parallel_iterations, back_prop, swap_memory: see `while_loop`.
        infer_shape: whether `fn` gives the same shapes for all slices.
        name: name scope of the operations.
        fn_output_signature: another name of `dtype`.

    Raises:
        TypeError: `fn` is no function, or gives another structure.
        ValueError: there are no elements, or only scalars.

    Example:
        `squares = tf.map_fn(lambda x: x * x, tf.constant([1.0, 2.0, 3.0]))`
    """
    if not callable(fn):
        raise TypeError(f"The provided function {fn} is not callable.fn must be callable.")
    signature = dtype if fn_output_signature is None else fn_output_signature
    flat = nest.flatten(elems)
    if not flat:
        raise ValueError(
            "elems must be a Tensor or (possibly nested) sequence of Tensors. "
            f"Got {elems}, which does not contain any Tensors."
        )
    for elem in flat:
        if composite_type_of(elem) is not None:
            raise TypeError(f"map_fn can not consume {type(elem).__name__} inputs: got {elem!r}")
    structure = elems if signature is None else signature
    graph = graph_of(flat)
    with graph.as_default(), graph.name_scope(name or "map"), variables_cached():
        tensors = [convert_to_tensor(elem, name="elem") for elem in flat]
        if tensors[0]._shape == ():
            raise ValueError("Elements in elems must be 1+ dimensional Tensors, not scalars")
        rows = first_size(tensors)
        count = rows or shape_of(tensors[0])[0]
        arrays = unstacked(tensors, count)
        given = [t.dtype for t in tensors] if signature is None else nest.flatten(signature)
        first = constant(0)
        results = [
            TensorArray(as_dtype(kind).base_dtype, count, infer_shape=infer_shape) for kind in given
        ]

        def body(turn: Tensor, results: list[TensorArray]) -> tuple[Tensor, list[TensorArray]]:
            slices = [array.read(turn) for array in arrays]
            found = fn(nest.pack(elems, slices))
            nest.check_same(structure, found)
            values = zip(results, nest.flatten(found), strict=True)
            written = [array.write(turn, value) for array, value in values]
            return turn + 1, written

        _, written = while_loop(
            lambda turn, _: turn < count,
            body,
            (first, results),
            parallel_iterations=parallel_iterations or 10,
            back_prop=back_prop,
            swap_memory=swap_memory,
            maximum_iterations=count,
        )
        return nest.pack(structure, stacked(written, rows))


@contextmanager
def variables_cached() -> Iterator[None]:
    """Variables are read once, not in each iteration, unless the program says where already."""
    scope = get_variable_scope()
    if scope.caching_device is not None:
        yield
        return
    scope.set_caching_device(lambda op: op.device)
    try:
        yield
    finally:
        scope.set_caching_device(None)


def first_size(tensors: Sequence[Tensor]) -> int | None:
    """The first size of all tensors, as far as it is known; ValueError where they differ."""
    sizes = [tensor.shape.with_rank_at_least(1)[:1] for tensor in tensors]
    for other in sizes[1:]:
        if not other.is_compatible_with(sizes[0]):
            raise ValueError(f"Dimensions {sizes[0][0]} and {other[0]} are not compatible")
    size: int | None = sizes[0].as_list()[0]
    return size


def unstacked(tensors: Sequence[Tensor], count: Any) -> list[TensorArray]:
    """The slices of each tensor along its first dimension."""
    arrays = [TensorArray(tensor.dtype.base_dtype, count) for tensor in tensors]
    return [array.unstack(tensor) for array, tensor in zip(arrays, tensors, strict=True)]


def stacked(arrays: Sequence[TensorArray], rows: int | None) -> list[Tensor]:
    """The elements of each array, stacked; so many of them."""
    results = [array.stack() for array in arrays]
    for tensor in results:
        tensor.set_shape(TensorShape([rows]).concatenate(tensor.shape[1:]))
    return results
