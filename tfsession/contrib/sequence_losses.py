"""Losses of sequences of classes, and models for sequences of several lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import not_equal
from tfsession.ops.cross_entropy import sparse_softmax_cross_entropy_with_logits
from tfsession.ops.elementwise import add_n, div_no_nan
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.variable_scope import get_variable_scope, variable_scope

# What sums of weights are made greater by, so that no loss is divided by zero.
_EPSILON = 1e-12


def _scope_of(values: Sequence[Any], name: str | None, default: str) -> Any:
    return graph_of(list(values)).name_scope(name or default)


@export("contrib.legacy_seq2seq.sequence_loss_by_example")
def sequence_loss_by_example(
    logits: Any,
    targets: Any,
    weights: Any,
    average_across_timesteps: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Tensor:
    """Cross entropies of lists of scores and classes, weighted and summed over the list.

    Args:
        logits: list of tensors `[batch, classes]`.
        targets: list of int tensors `[batch]`.
        weights: list of float tensors `[batch]`.
        average_across_timesteps: divide by the sum of the weights.
        softmax_loss_function: function of `labels` and `logits` in place of the cross entropy.
        name: name scope of the operations.

    Returns:
        A loss for each example, `[batch]`.

    Raises:
        ValueError: lists of different lengths.
    """
    if len(targets) != len(logits) or len(weights) != len(logits):
        raise ValueError(
            "Lengths of logits, weights, and targets must be the same "
            f"{len(logits)}, {len(weights)}, {len(targets)}."
        )
    with _scope_of([*logits, *targets, *weights], name, "sequence_loss_by_example"):
        losses = []
        for logit, target, weight in zip(logits, targets, weights, strict=True):
            if softmax_loss_function is None:
                loss = sparse_softmax_cross_entropy_with_logits(
                    labels=reshape(target, [-1]), logits=logit
                )
            else:
                loss = softmax_loss_function(labels=target, logits=logit)
            losses.append(loss * weight)
        total = add_n(losses)
        if average_across_timesteps:
            total /= add_n(weights) + _EPSILON
        return total


@export("contrib.legacy_seq2seq.sequence_loss")
def legacy_sequence_loss(
    logits: Any,
    targets: Any,
    weights: Any,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Tensor:
    """The sum of `sequence_loss_by_example`, divided by the batch size if so asked: a scalar."""
    with _scope_of([*logits, *targets, *weights], name, "sequence_loss"):
        cost = reduce_sum(
            sequence_loss_by_example(
                logits, targets, weights, average_across_timesteps, softmax_loss_function
            )
        )
        if average_across_batch:
            return cost / cast(shape_of(targets[0])[0], cost.dtype)
        return cost


@export("contrib.legacy_seq2seq.model_with_buckets")
def model_with_buckets(
    encoder_inputs: Any,
    decoder_inputs: Any,
    targets: Any,
    weights: Any,
    buckets: Sequence[tuple[int, int]],
    seq2seq: Callable[[Any, Any], Any],
    softmax_loss_function: Callable[..., Any] | None = None,
    per_example_loss: bool = False,
    name: str | None = None,
) -> Any:
    """One model for each pair of lengths, all with the same variables.

    Args:
        encoder_inputs, decoder_inputs, targets, weights: lists of tensors, as many as the greatest
            lengths demand.
        buckets: pairs of lengths, of inputs and of outputs.
        seq2seq: function of inputs to read and to write that gives a list of outputs and a state.
        softmax_loss_function: as for `sequence_loss_by_example`.
        per_example_loss: give losses by example, not sums.
        name: name scope of the operations.

    Returns:
        A list of lists of outputs, and a list of losses, one for each pair.

    Raises:
        ValueError: there are fewer inputs, targets or weights than the last pair demands.
    """
    given = (encoder_inputs, decoder_inputs, targets, weights)
    names = ("encoder_inputs", "targets", "weights")
    needs = (buckets[-1][0], buckets[-1][1], buckets[-1][1])
    for what, found, wanted in zip(names, (encoder_inputs, targets, weights), needs, strict=True):
        if len(found) < wanted:
            raise ValueError(
                f"Length of {what} ({len(found)}) must be at least that of last bucket ({wanted})."
            )
    losses, outputs = [], []
    loss_of = sequence_loss_by_example if per_example_loss else legacy_sequence_loss
    with _scope_of([x for each in given for x in each], name, "model_with_buckets"):
        for number, (reads, writes) in enumerate(buckets):
            with variable_scope(get_variable_scope(), reuse=True if number > 0 else None):
                found, _ = seq2seq(encoder_inputs[:reads], decoder_inputs[:writes])
                outputs.append(found)
                losses.append(
                    loss_of(
                        found, targets[:writes], weights[:writes],
                        softmax_loss_function=softmax_loss_function,
                    )
                )  # fmt: skip
    return outputs, losses


@export("contrib.seq2seq.sequence_loss")
def sequence_loss(
    logits: Any,
    targets: Any,
    weights: Any,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    sum_over_timesteps: bool = False,
    sum_over_batch: bool = False,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Tensor:
    """Weighted cross entropy of scores `[batch, time, classes]`.

    Args:
        logits: the scores.
        targets: the classes, int `[batch, time]`.
        weights: floats `[batch, time]`; zeros leave steps out.
        average_across_timesteps, average_across_batch: divide by the sums of weights over time or
            batch, and sum over it.
        sum_over_timesteps, sum_over_batch: sum over time or batch, and divide by how many weights
            are not zero.
        softmax_loss_function: function of `labels` and `logits` in place of the cross entropy.
        name: name scope of the operations.

    Returns:
        A scalar, or the losses by what was not reduced: `[time]`, `[batch]` or `[batch, time]`.

    Raises:
        ValueError: tensors of other ranks, or averages and sums over one thing.
    """
    for what, tensor, rank in (("Logits", logits, 3), ("Targets", targets, 2),
                               ("Weights", weights, 2)):  # fmt: skip
        if len(tensor.shape) != rank:
            text = "[batch_size x sequence_length" + (" x logits]" if rank == 3 else "]")
            raise ValueError(f"{what} must be a {rank}-D {text} tensor")
    if average_across_timesteps and sum_over_timesteps:
        raise ValueError(
            "average_across_timesteps and sum_over_timesteps cannot be set to True at same time."
        )
    if average_across_batch and sum_over_batch:
        raise ValueError(
            "average_across_batch and sum_over_batch cannot be set to True at same time."
        )
    with _scope_of([logits, targets, weights], name, "sequence_loss"):
        classes = shape_of(logits)[2]
        flat = reshape(logits, [-1, classes])
        labels = reshape(targets, [-1])
        if softmax_loss_function is None:
            losses = sparse_softmax_cross_entropy_with_logits(labels=labels, logits=flat)
        else:
            losses = softmax_loss_function(labels=labels, logits=flat)
        losses *= reshape(weights, [-1])
        counts = sum_over_timesteps or sum_over_batch
        sizes = cast(not_equal(weights, 0), losses.dtype) if counts else weights
        if (average_across_timesteps and average_across_batch) or (
            sum_over_timesteps and sum_over_batch
        ):
            return div_no_nan(reduce_sum(losses), reduce_sum(sizes))
        losses = reshape(losses, shape_of(logits)[:2])
        if average_across_batch or (sum_over_batch and not average_across_timesteps):
            axis = [0]
        elif average_across_timesteps or sum_over_timesteps:
            axis = [1]
        else:
            return losses
        sizes = weights if average_across_batch or average_across_timesteps else sizes
        return div_no_nan(reduce_sum(losses, axis), reduce_sum(sizes, axis))
