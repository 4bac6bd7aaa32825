"""A function of what came before and of the next slice: `foldl`, `foldr` and `scan`, as loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.map_fn import first_size, stacked, unstacked, variables_cached
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.while_loop import while_loop

Function = Callable[[Any, Any], Any]


@export("foldl")
def foldl(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """What `fn` makes of the slices of `elems` along the first dimension, from first to last.

    `fn` is called once, now: it builds what each iteration of a loop runs.

    Args:
        fn: takes what it gave for the slice before, and the next one, in the structure of `elems`.
        elems: a tensor or a nest of them, of the same first size.
        initializer: what comes before the first slice; the first slice itself when None.
        parallel_iterations, back_prop, swap_memory: see `while_loop`.
        name: name scope of the operations.

    Raises:
        TypeError: `fn` is no function.

    Example:
        `total = tf.foldl(lambda total, x: total + x, tf.constant([1.0, 2.0, 3.0]))`
    """
    options = parallel_iterations, back_prop, swap_memory
    return _fold(fn, elems, initializer, options, name or "foldl", is_reversed=False)


@export("foldr")
def foldr(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """As `foldl`, from the last slice to the first."""
    options = parallel_iterations, back_prop, swap_memory
    return _fold(fn, elems, initializer, options, name or "foldr", is_reversed=True)


def _check_function(fn: Any) -> None:
    if not callable(fn):
        raise TypeError(f"{fn} is not callable. Please provide a callable function.")


def _fold(
    fn: Function,
    elems: Any,
    initializer: Any,
    options: tuple[int, bool, bool],
    name: str,
    is_reversed: bool,
) -> Any:
    _check_function(fn)
    flat = nest.flatten(elems)
    graph = graph_of(flat)
    with graph.as_default(), graph.name_scope(name), variables_cached():
        tensors = [convert_to_tensor(elem, name="elem") for elem in flat]
        count = tensors[0].shape.as_list()[0] or shape_of(tensors[0])[0]
        arrays = [array for tensor in tensors for array in unstacked([tensor], count)]

        def slices(turn: Any) -> Any:
            return nest.pack(elems, [array.read(turn) for array in arrays])

        turn: Any
        if initializer is not None:
            turn, value = (count if is_reversed else constant(0)), initializer
        elif is_reversed:
            turn = count - 1
            value = slices(turn)
        else:
            value = slices(0)
            turn = constant(1)

        def forwards(turn: Tensor, value: Any) -> list[Any]:
            value = fn(value, slices(turn))
            return [turn + 1, value]

        def backwards(turn: Tensor, value: Any) -> list[Any]:
            before = turn - 1
            return [before, fn(value, slices(before))]

        _, result = while_loop(
            (lambda turn, _: turn > 0) if is_reversed else (lambda turn, _: turn < count),
            backwards if is_reversed else forwards,
            [turn, value],
            None,
            *options,
            maximum_iterations=count,
        )
        return result


@export("scan")
def scan(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """All that `fn` gives on its way through the slices of `elems`, stacked.

    Args:
        fn: takes what it gave for the slice before, and the next one, in the structure of `elems`;
            gives the structure of `initializer`, or of `elems` without one.
        elems: a tensor or a nest of them, of the same first size.
        initializer: what comes before the first slice; the first slice itself when None.
        parallel_iterations, back_prop, swap_memory: see `while_loop`.
        infer_shape: whether `fn` gives the same shapes for all slices.
        reverse: go from the last slice to the first; results stay where their slices are.
        name: name scope of the operations.

    Raises:
        TypeError: `fn` is no function, or gives another structure.
        ValueError: first sizes or structures differ.

    Example:
        `totals = tf.scan(lambda total, x: total + x, tf.constant([1.0, 2.0, 3.0]))`
    """
    _check_function(fn)
    flat = nest.flatten(elems)
    structure = elems if initializer is None else initializer
    graph = graph_of(flat)
    with graph.as_default(), graph.name_scope(name or "scan"), variables_cached():
        tensors = [convert_to_tensor(elem, name="elem") for elem in flat]
        known: int | None = tensors[0].shape.as_list()[0]
        count: Any = shape_of(tensors[0])[0] if known is None else known
        arrays = [
            TensorArray(tensor.dtype.base_dtype, count, element_shape=tensor.shape[1:])
            for tensor in tensors
        ]
        arrays = [array.unstack(tensor) for array, tensor in zip(arrays, tensors, strict=True)]
        turn: Any = 0
        if initializer is None:
            values = [array.read(count - 1 if reverse else 0) for array in arrays]
            turn = 1
        else:
            values = [convert_to_tensor(value) for value in nest.flatten(initializer)]
        results = [_results_like(value, count, infer_shape) for value in values]
        if initializer is None:
            results = [
                array.write(count - 1 if reverse else 0, value)
                for array, value in zip(results, values, strict=True)
            ]

        def body(turn: Tensor, values: list[Tensor], results: list[TensorArray]) -> Any:
            slices = nest.pack(elems, [array.read(turn) for array in arrays])
            found = fn(nest.pack(structure, values), slices)
            nest.check_same(structure, found)
            flat = nest.flatten(found)
            pairs = zip(results, flat, strict=True)
            results = [array.write(turn, value) for array, value in pairs]
            return (turn - 1 if reverse else turn + 1), flat, results

        _, _, written = while_loop(
            (lambda turn, *_: turn >= 0) if reverse else (lambda turn, *_: turn < count),
            body,
            (count - 1 - turn if reverse else turn, values, results),
            None,
            *(parallel_iterations, back_prop, swap_memory),
            maximum_iterations=count,
        )
        return nest.pack(structure, stacked(written, first_size(tensors)))


def _results_like(first: Tensor, count: Any, infer_shape: bool) -> TensorArray:
    """For the results that come from `first` on."""
    shape = first.shape if infer_shape else None
    return TensorArray(first.dtype.base_dtype, count, element_shape=shape, infer_shape=infer_shape)
