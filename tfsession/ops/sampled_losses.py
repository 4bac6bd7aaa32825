"""Losses over very many classes, by a sample of them: `nce_loss`, `sampled_softmax_loss`."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int32, int64
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.candidates import (
    Candidates,
    compute_accidental_hits,
    log_uniform_candidate_sampler,
)
from tfsession.ops.cast import cast
from tfsession.ops.constant import ones, ones_like, stop_gradient, zeros_like
from tfsession.ops.cross_entropy import (
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_v2,
)
from tfsession.ops.elementwise import multiply
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.join import concat, stack
from tfsession.ops.matmul import matmul
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import slice_
from tfsession.ops.sparse import sparse_to_dense
from tfsession.ops.unary import log


@export("nn.nce_loss")
def nce_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Candidates | None = None,
    remove_accidental_hits: bool = False,
    partition_strategy: str = "mod",
    name: str = "nce_loss",
) -> Tensor:
    """Noise-contrastive estimation (Gutmann and Hyvärinen, 2010): a loss for each example.

    Args:
        weights: of shape [num_classes, dim], or a list of tensors over which the rows are spread.
        biases: of shape [num_classes].
        labels: the true classes, of shape [batch_size, num_true].
        inputs: of shape [batch_size, dim].
        num_sampled: how many classes to draw for the whole batch.
        num_classes: how many there are.
        num_true: how many true classes an example has.
        sampled_values: what a candidate sampler gives; log-uniform ones when None.
        remove_accidental_hits: leave out sampled classes that are true for an example.
        partition_strategy: how rows are spread over a list; see `embedding_lookup`.
        name: name scope of the operations.
    """
    logits, targets = _sampled_logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits, partition_strategy, name, None,
    )  # fmt: skip
    losses = sigmoid_cross_entropy_with_logits(labels=targets, logits=logits, name="sampled_losses")
    return _sum_rows(losses)


@export("nn.sampled_softmax_loss")
def sampled_softmax_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Candidates | None = None,
    remove_accidental_hits: bool = True,
    partition_strategy: str = "mod",
    name: str = "sampled_softmax_loss",
    seed: int | None = None,
) -> Tensor:
    """The cross entropy of a softmax over the true classes and a sample (Jean et al., 2014).

    The arguments are those of `nce_loss`; `seed` is the sampler's.
    """
    logits, targets = _sampled_logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits, partition_strategy, name, seed,
    )  # fmt: skip
    targets = stop_gradient(targets, name="labels_stop_gradient")
    return softmax_cross_entropy_with_logits_v2(labels=targets, logits=logits)


def _sum_rows(x: Tensor) -> Tensor:
    """The sum of each row, by a product: faster than a sum where rows are short."""
    return reshape(matmul(x, ones(stack([shape_of(x)[1], 1]), x.dtype)), [-1])


def _sampled_logits(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int,
    num_true: int, sampled_values: Candidates | None, remove_accidental_hits: bool,
    partition_strategy: str, name: str, seed: int | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Logits and targets of the true classes and the sampled ones, less the log of their odds."""
    tables = list(weights) if isinstance(weights, list | tuple) else [weights]
    with get_default_graph().name_scope(name or "compute_sampled_logits"):
        labels, inputs = convert_to_tensor(labels), convert_to_tensor(inputs)
        if labels.dtype is not int64:
            labels = cast(labels, int64)
        flat = reshape(labels, [-1])
        if sampled_values is None:
            sampled_values = log_uniform_candidate_sampler(
                labels, num_true, num_sampled, True, num_classes, seed
            )
        sampled, true_expected, sampled_expected = map(stop_gradient, sampled_values)
        ids = concat([flat, cast(sampled, int64)], 0)
        rows = cast(embedding_lookup(tables, ids, partition_strategy), inputs.dtype)
        true_rows = slice_(rows, [0, 0], stack([shape_of(flat)[0], -1]))
        sampled_rows = slice_(rows, stack([shape_of(flat)[0], 0]), [-1, -1])
        sampled_logits = matmul(inputs, sampled_rows, transpose_b=True)
        offsets = cast(embedding_lookup(biases, ids, partition_strategy), inputs.dtype)
        true_offsets = slice_(offsets, [0], shape_of(flat))
        sampled_offsets = slice_(offsets, shape_of(flat), [-1])
        true_logits = _true_logits(inputs, true_rows, num_true)
        true_logits = true_logits + reshape(true_offsets, [-1, num_true])
        sampled_logits = sampled_logits + sampled_offsets
        if remove_accidental_hits:
            found = _taking_out(labels, sampled, num_true, num_sampled)
            sampled_logits = sampled_logits + found(sampled_logits.dtype)
        true_logits = true_logits - log(true_expected)
        sampled_logits = sampled_logits - log(sampled_expected)
        logits = concat([true_logits, sampled_logits], 1)
        targets = [ones_like(true_logits) / num_true, zeros_like(sampled_logits)]
        return logits, concat(targets, 1)


def _true_logits(inputs: Tensor, rows: Tensor, num_true: int) -> Tensor:
    width = shape_of(rows)[1:2]
    by_example = concat([[-1, num_true], width], 0)
    products = multiply(expand_dims(inputs, 1), reshape(rows, by_example))
    sums = _sum_rows(reshape(products, concat([[-1], width], 0)))
    return reshape(sums, [-1, num_true])


def _taking_out(labels: Tensor, sampled: Tensor, num_true: int, num_sampled: int) -> Any:
    """A function of the dtype: what takes sampled classes that are true out of the logits."""
    examples, places, heavy = compute_accidental_hits(labels, sampled, num_true)
    column = reshape(examples, [-1, 1])
    indices = concat([column, reshape(cast(places, int32), [-1, 1])], 1, "sparse_indices")
    size = concat([shape_of(labels)[:1], expand_dims(num_sampled, 0)], 0)
    return lambda dtype: sparse_to_dense(indices, size, cast(heavy, dtype), 0.0, False)
