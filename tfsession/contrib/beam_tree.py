"""Beams as trees: sequences read backwards by parents, and batches tiled for beams."""

from __future__ import annotations

from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where
from tfsession.ops.constant import constant, zeros_like
from tfsession.ops.cumulative import cumsum
from tfsession.ops.gather import gather
from tfsession.ops.join import concat
from tfsession.ops.pad import tile
from tfsession.ops.reduce import reduce_max
from tfsession.ops.sequence import range_
from tfsession.ops.sequence_mask import sequence_mask
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.transpose import transpose
from tfsession.ops.while_loop import while_loop


def taken(values: Tensor, numbers: Tensor) -> Tensor:
    """For each example the values `[batch, width, ...]` of these numbers `[batch, beam]`."""
    sizes = shape_of(values)
    first = expand_dims(range_(0, sizes[0]) * sizes[1], 1)
    flat = reshape(values, concat([[sizes[0] * sizes[1]], sizes[2:]], 0))
    result = gather(flat, numbers + first)
    result.set_shape(numbers.shape.concatenate(values.shape[2:]))
    return result


@export("contrib.seq2seq.gather_tree")
def gather_tree(
    step_ids: Any, parent_ids: Any, max_sequence_lengths: Any, end_token: Any
) -> Tensor:
    """The sequences of the last beams, each step found by the parents of the next.

    Args:
        step_ids: symbols, int32 `[time, batch, beam]`.
        parent_ids: the beams of the step before that they continue, of the same shape.
        max_sequence_lengths: int32 `[batch]`: steps at and behind it do not count.
        end_token: int32 scalar, the symbol behind them, and behind the first such symbol.

    Returns:
        Symbols, int32 `[time, batch, beam]`.
    """
    steps = convert_to_tensor(step_ids, dtype=int32)
    parents = convert_to_tensor(parent_ids, dtype=int32)
    ends = convert_to_tensor(end_token, dtype=int32)
    sizes = shape_of(steps)
    symbols = TensorArray(int32, sizes[0], clear_after_read=False).unstack(steps)
    origins = TensorArray(int32, sizes[0], clear_after_read=False).unstack(parents)
    results = TensorArray(int32, sizes[0])
    beams = zeros_like(steps[0]) + range_(0, sizes[2])
    nothing = zeros_like(steps[0]) + ends
    lengths = expand_dims(convert_to_tensor(max_sequence_lengths, dtype=int32), 1)
    counted = lengths + zeros_like(steps[0])

    def body(time: Tensor, beams: Tensor, results: TensorArray) -> Any:
        counts = time < counted
        found = where(counts, taken(symbols.read(time), beams), nothing)
        before = where(counts, taken(origins.read(time), beams), beams)
        before.set_shape(beams.shape)
        return time - 1, before, results.write(time, found)

    _, _, results = while_loop(
        lambda time, *_: time >= 0, body, (sizes[0] - 1, beams, results), back_prop=False
    )
    found = results.stack()
    over = cumsum(cast(equal(found, ends), int32), axis=0, exclusive=True) > 0
    found = where(over, zeros_like(found) + ends, found)
    found.set_shape(steps.shape)
    return found


def gather_tree_from_array(t: Tensor, parent_ids: Tensor, sequence_length: Any) -> Tensor:
    """What was kept of all beams in each step, in the order of the last beams.

    Args:
        t: `[time, batch, beam, ...]` or `[time, batch * beam, ...]`.
        parent_ids: int32 `[time, batch, beam]`.
        sequence_length: int `[batch, beam]`; steps behind it keep their place.

    Returns:
        A tensor of the shape of `t`.
    """
    sizes = shape_of(parent_ids)
    places = zeros_like(parent_ids) + range_(0, sizes[2])
    longest = cast(reduce_max(sequence_length, axis=1), int32)
    order = gather_tree(places, parent_ids, longest, sizes[2] + 1)
    counts = transpose(sequence_mask(sequence_length, maxlen=sizes[0]), [2, 0, 1])
    order = reshape(where(counts, order, places), [sizes[0] * sizes[1], sizes[2]])
    flat = reshape(t, [sizes[0] * sizes[1], sizes[2], -1])
    result = reshape(taken(flat, order), shape_of(t))
    result.set_shape(t.shape)
    return result


@export("contrib.seq2seq.tile_batch")
def tile_batch(t: Any, multiplier: int, name: str | None = None) -> Any:
    """Each example so many times, one after the other: `[batch * multiplier, ...]`.

    Args:
        t: a tensor `[batch, ...]`, or a nest of such.
        multiplier: how many times.
        name: name scope of the operations.

    Raises:
        ValueError: a scalar.
    """
    flat = nest.flatten(t)
    with graph_of([*flat]).name_scope(name or "tile_batch"):
        return nest.map_structure(lambda x: _tiled(x, multiplier), t)


def _tiled(x: Any, multiplier: int) -> Tensor:
    x = convert_to_tensor(x, name="t")
    if x.shape.ndims is None:
        raise ValueError("t must have statically known rank")
    if x.shape.ndims == 0:
        raise ValueError("t must not be a scalar: there is no batch to be tiled.")
    sizes = shape_of(x)
    tiling = constant([1, multiplier, *[1] * (x.shape.ndims - 1)])
    result = reshape(
        tile(expand_dims(x, 1), tiling), concat([[sizes[0] * multiplier], sizes[1:]], 0)
    )
    known = x.shape.as_list()[0]
    first = None if known is None else known * multiplier
    result.set_shape(TensorShape([first]).concatenate(x.shape[1:]))
    return result
