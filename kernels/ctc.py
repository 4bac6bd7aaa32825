"""CTC losses by the forward and backward sums of Graves et al., all sequences together."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _check(xp: Any, inputs: Any, places: Any, labels: Any, lengths: Any) -> None:
    if inputs.ndim != 3:
        raise _refuse("inputs is not a 3-Tensor")
    steps, batch, classes = inputs.shape
    if lengths.shape != (batch,):
        raise _refuse("len(sequence_length) != batch_size")
    if places.ndim != 2 or places.shape[1] != 2 or labels.shape != places.shape[:1]:
        raise _refuse(
            "labels_indices is not a matrix with a row of two for each label: "
            f"{debug_string(places.shape)}"
        )
    for number, length in enumerate(lengths.tolist()):
        if not 0 <= length <= steps:
            raise _refuse(f"sequence_length({number}) <= {steps}")
    rows = places[:, 0]
    if ((rows < 0) | (rows >= batch)).any() or (rows[1:] < rows[:-1]).any():
        raise _refuse("labels_indices are out of order, or not below the batch size")
    if ((labels < 0) | (labels >= classes - 1)).any():
        raise _refuse(f"All labels must be nonnegative integers below {classes - 1}, the blank")


def _extended(xp: Any, rows: Any, labels: Any, batch: int, blank: int) -> tuple[Any, Any]:
    """Labels of each sequence with blanks between and around, and how many labels there are."""
    counts = xp.bincount(rows, minlength=batch)
    if (counts == 0).any():
        raise _refuse(f"Labels length is zero in batch {int(xp.argmin(counts))}")
    table = xp.full((batch, 2 * int(counts.max()) + 1), blank, xp.int64)
    table[rows, 2 * (xp.arange(rows.size) - (xp.cumsum(counts) - counts)[rows]) + 1] = labels
    return table, counts


def _shifted(xp: Any, sums: Any, by: int) -> Any:
    result = xp.full(sums.shape, -math.inf, sums.dtype)
    if by > 0:
        result[:, by:] = sums[:, :-by]
    else:
        result[:, :by] = sums[:, -by:]
    return result


@kernel("CTCLoss", host=["sequence_length"])
def loss(
    xp: Any,
    inputs: Any,
    labels_indices: Any,
    labels_values: Any,
    sequence_length: Any,
    *,
    preprocess_collapse_repeated: bool,
    ctc_merge_repeated: bool,
    ignore_longer_outputs_than_inputs: bool,
) -> Any:
    """Losses, and their gradients to the logits."""
    _check(xp, inputs, labels_indices, labels_values, sequence_length)
    steps, batch, classes = inputs.shape
    if not batch:
        return xp.zeros(0, inputs.dtype), xp.zeros(inputs.shape, inputs.dtype)
    rows, labels = labels_indices[:, 0], labels_values
    if preprocess_collapse_repeated:
        is_new = xp.ones(rows.size, bool)
        is_new[1:] = (rows[1:] != rows[:-1]) | (labels[1:] != labels[:-1])
        rows, labels = rows[is_new], labels[is_new]
    table, counts = _extended(xp, rows, labels, batch, classes - 1)
    is_label = table != classes - 1
    # A label follows one before it at once; one that repeats needs a blank between, or none merge.
    may_skip = is_label.copy()
    may_skip[:, :2] = False
    if ctc_merge_repeated:
        may_skip[:, 2:] &= table[:, 2:] != table[:, :-2]
    may_stay = ~is_label if not ctc_merge_repeated else xp.ones(table.shape, bool)
    raised = inputs - inputs.max(axis=2, keepdims=True)
    logs = raised - xp.log(xp.exp(raised).sum(axis=2, keepdims=True))
    emitted = logs[:, xp.arange(batch)[:, None], table]
    lengths = xp.asarray(sequence_length)
    ends = xp.zeros(table.shape, bool)
    ends[xp.arange(batch), 2 * counts] = ends[xp.arange(batch), 2 * counts - 1] = True
    none = xp.full((), -math.inf, inputs.dtype)
    forward = _forward(xp, emitted, may_stay, may_skip)
    here = xp.where(ends, forward[xp.maximum(lengths - 1, 0), xp.arange(batch)], none)
    total = _log_sum(xp, here)
    backward = _backward(xp, emitted, may_stay, may_skip, xp.where(ends, 0, none), lengths)
    is_possible = xp.isfinite(total) & (lengths > 0)
    shares = xp.exp(forward + backward - xp.where(is_possible, total, 0)[:, None])
    gradient = xp.exp(logs)
    flat = (xp.arange(steps * batch).reshape(steps, batch, 1) * classes + table).reshape(-1)
    xp.subtract.at(gradient.reshape(-1), flat, shares.reshape(-1))
    counts_there = (xp.arange(steps)[:, None] < lengths) & is_possible
    gradient = xp.where(counts_there[..., None], gradient, 0).astype(inputs.dtype, copy=False)
    is_ignored = (counts > lengths) & ignore_longer_outputs_than_inputs
    losses = xp.where(is_possible, -total, xp.where(is_ignored, 0, math.inf))
    return losses.astype(inputs.dtype, copy=False), gradient


def _log_sum(xp: Any, logs: Any) -> Any:
    top = logs.max(axis=1, keepdims=True)
    safe = xp.where(xp.isfinite(top), top, 0)
    return (xp.log(xp.exp(logs - safe).sum(axis=1, keepdims=True)) + safe)[:, 0]


def _forward(xp: Any, emitted: Any, may_stay: Any, may_skip: Any) -> Any:
    """The logarithm of all ways to be at each label, at each step, with what is emitted there."""
    none = xp.full((), -math.inf, emitted.dtype)
    result = xp.full(emitted.shape, -math.inf, emitted.dtype)
    if len(emitted):
        result[0, :, :2] = emitted[0, :, :2]
    for step in range(1, len(emitted)):
        last = result[step - 1]
        ways = xp.logaddexp(xp.where(may_stay, last, none), _shifted(xp, last, 1))
        ways = xp.logaddexp(ways, xp.where(may_skip, _shifted(xp, last, 2), none))
        result[step] = ways + emitted[step]
    return result


def _backward(
    xp: Any, emitted: Any, may_stay: Any, may_skip: Any, at_end: Any, lengths: Any
) -> Any:
    """The logarithm of all ways from each label, at each step, to the end of the sequence."""
    none = xp.full((), -math.inf, emitted.dtype)
    result = xp.full(emitted.shape, -math.inf, emitted.dtype)
    for step in reversed(range(len(emitted))):
        ways = none
        if step + 1 < len(emitted):
            after = result[step + 1] + emitted[step + 1]
            ways = xp.logaddexp(xp.where(may_stay, after, none), _shifted(xp, after, -1))
            skipped = xp.where(may_skip, after, none)
            ways = xp.logaddexp(ways, _shifted(xp, skipped, -2))
        result[step] = xp.where((lengths - 1 == step)[:, None], at_end, ways)
    return result
