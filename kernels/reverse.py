"""Elements in reverse order or rotated along dimensions."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import numbers_of

_BACKWARDS = slice(None, None, -1)


@kernel("ReverseV2", host=["axis"], aliases=True)
def reverse(xp: Any, tensor: Any, axis: Any) -> Any:
    """A view in reverse order along some dimensions."""
    rank = tensor.ndim
    index = [slice(None)] * rank
    for i, given in enumerate(numbers_of(axis, "'dims' must be 1-dimension, not of shape ")):
        at = given + rank if given < 0 else given
        if not 0 <= at < rank:
            text = f"'axis'[{i}] = {given} is out of valid range [0, {rank - 1}"
            raise InvalidArgumentError(None, None, text)
        if index[at] is _BACKWARDS:
            raise InvalidArgumentError(None, None, f"axis {at} specified more than once.")
        index[at] = _BACKWARDS
    return tensor[tuple(index)]


@kernel("Reverse", host=["dims"], aliases=True)
def flagged_reverse(xp: Any, tensor: Any, dims: Any) -> Any:
    """A view in reverse order along the flagged dimensions."""
    if dims.shape != (tensor.ndim,):
        raise InvalidArgumentError(
            None,
            None,
            f"'dims' must have the same number of values as 'input' has dimensions. 'input' has "
            f"{tensor.ndim}'dims' has {dims.size} values",
        )
    return tensor[tuple(_BACKWARDS if flag else slice(None) for flag in dims.tolist())]


def _check_lengths(x: Any, lengths: Any, seq_dim: int, batch_dim: int) -> None:
    """Refuse what does not fit, as far as shapes tell."""
    if seq_dim == batch_dim:
        raise InvalidArgumentError(None, None, f"batch_dim == seq_dim == {seq_dim}")
    if lengths.ndim != 1:
        text = debug_string(lengths.shape)
        raise InvalidArgumentError(None, None, f"seq_lengths must be 1-dim, not of shape {text}")
    if lengths.size != x.shape[batch_dim]:
        raise InvalidArgumentError(
            None, None, f"Length of seq_lengths != input.dims({batch_dim}), ({lengths.size} vs. "
            f"{x.shape[batch_dim]})"
        )  # fmt: skip


@kernel("ReverseSequence", device="CPU")
def reverse_sequence_checked(xp: Any, x: Any, lengths: Any, seq_dim: int, batch_dim: int) -> Any:
    """The first elements of each slice in reverse order."""
    _check_lengths(x, lengths, seq_dim, batch_dim)
    for i, length in enumerate(lengths.tolist()):
        if length < 0:
            raise InvalidArgumentError(None, None, f"seq_lens({i}) < 0")
        if length > x.shape[seq_dim]:
            raise InvalidArgumentError(None, None, f"seq_lens({i}) > input.dims({seq_dim})")
    return reverse_sequence(xp, x, lengths, seq_dim, batch_dim)


@kernel("ReverseSequence")
def reverse_sequence(xp: Any, x: Any, lengths: Any, seq_dim: int, batch_dim: int) -> Any:
    """The first elements of each slice in reverse order; the host does not look at the lengths."""
    _check_lengths(x, lengths, seq_dim, batch_dim)
    moved = xp.moveaxis(x, (batch_dim, seq_dim), (0, 1))
    places = xp.arange(moved.shape[1])
    ends = xp.clip(lengths, 0, moved.shape[1])[:, None]
    index = xp.where(places < ends, ends - 1 - places, places)
    rows = xp.arange(moved.shape[0])[:, None]
    return xp.moveaxis(moved[rows, index], (0, 1), (batch_dim, seq_dim))


@kernel("Roll", host=["shift", "axis"])
def roll(xp: Any, x: Any, shift: Any, axis: Any) -> Any:
    """The elements moved on, the last ones to the front."""
    shifts, axes = shift.reshape(-1).tolist(), axis.reshape(-1).tolist()
    if x.ndim < 1:
        raise InvalidArgumentError(None, None, "input must be 1-D or higher")
    if len(shifts) != len(axes):
        raise InvalidArgumentError(None, None, "shift and axis must have the same size")
    for given in axes:
        if not -x.ndim <= given < x.ndim:
            raise InvalidArgumentError(None, None, f"axis {given} is out of range")
    return xp.roll(x, tuple(shifts), tuple(axes))
