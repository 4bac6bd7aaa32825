"""Connectionist temporal classification: losses of sequences of labels (Graves et al., 2006)."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import renamed
from tfsession.ops.transpose import transpose


def _loss_shape(op: Operation) -> list[Shape]:
    inputs, lengths = with_rank(op.inputs[0]._shape, 3), with_rank(op.inputs[3]._shape, 1)
    assert inputs is not None
    assert lengths is not None
    batch = merge_dims(inputs[1], lengths[0])
    return [(batch,), (inputs[0], batch, inputs[2])]


define_op(
    "CTCLoss",
    inputs=["inputs: T", "labels_indices: int64", "labels_values: int32", "sequence_length: int32"],
    outputs=["loss: T", "gradient: T"],
    attrs=[
        "preprocess_collapse_repeated: bool = false",
        "ctc_merge_repeated: bool = true",
        "ignore_longer_outputs_than_inputs: bool = false",
        "T: {float, double} = DT_FLOAT",
    ],
    shape=_loss_shape,
)


@export("nn.ctc_loss")
def ctc_loss(
    labels: Any,
    inputs: Any = None,
    sequence_length: Any = None,
    preprocess_collapse_repeated: bool = False,
    ctc_merge_repeated: bool = True,
    ignore_longer_outputs_than_inputs: bool = False,
    time_major: bool = True,
    logits: Any = None,
) -> Tensor:
    """How unlikely the labels of each sequence are, whatever steps they are spread over.

    Args:
        labels: int32 SparseTensor of shape `[batch, labels]`, each below the last class.
        inputs: logits `[steps, batch, classes]`, of which the last class is the blank.
        sequence_length: int32 vector, how many steps of each sequence count.
        preprocess_collapse_repeated: take labels that repeat for one.
        ctc_merge_repeated: a label that lasts several steps is one.
        ignore_longer_outputs_than_inputs: a sequence of more labels than steps has loss 0.
        time_major: False where `inputs` have the batch first.
        logits: another name of `inputs`.

    Returns:
        A vector of losses in nats, infinite where there are too few steps.

    Raises:
        TypeError: `labels` is no SparseTensor.
    """
    inputs = renamed("logits", logits, "inputs", inputs)
    if not isinstance(labels, SparseTensor):
        raise TypeError(
            f"Expected argument labels to be a SparseTensor. Received labels={labels} of type: "
            f"{type(labels).__name__}"
        )
    with graph_of([inputs, labels.values]).as_default():
        if not time_major:
            inputs = transpose(inputs, [1, 0, 2])
        attrs = {
            "preprocess_collapse_repeated": preprocess_collapse_repeated,
            "ctc_merge_repeated": ctc_merge_repeated,
            "ignore_longer_outputs_than_inputs": ignore_longer_outputs_than_inputs,
        }
        loss: Tensor = create_op(
            "CTCLoss", [inputs, labels.indices, labels.values, sequence_length], attrs
        )[0]
        return loss


def _greedy_shape(op: Operation) -> list[Shape]:
    batch = _batch(op)
    return [(None, 2), (None,), (2,), (batch, 1)]


def _beam_shape(op: Operation) -> list[Shape]:
    paths = op.attrs["top_paths"]
    places: list[Shape] = [(None, 2)] * paths
    return [*places, *[(None,)] * paths, *[(2,)] * paths, (_batch(op), paths)]


def _batch(op: Operation) -> int | None:
    inputs, lengths = with_rank(op.inputs[0]._shape, 3), with_rank(op.inputs[1]._shape, 1)
    assert inputs is not None
    assert lengths is not None
    return merge_dims(inputs[1], lengths[0])


define_op(
    "CTCGreedyDecoder",
    inputs=["inputs: T", "sequence_length: int32"],
    outputs=[
        "decoded_indices: int64",
        "decoded_values: int64",
        "decoded_shape: int64",
        "log_probability: T",
    ],
    attrs=[
        "merge_repeated: bool = false",
        "blank_index: int = -1",
        "T: {float, double} = DT_FLOAT",
    ],
    shape=_greedy_shape,
)
define_op(
    "CTCBeamSearchDecoder",
    inputs=["inputs: T", "sequence_length: int32"],
    outputs=[
        "decoded_indices: top_paths * int64",
        "decoded_values: top_paths * int64",
        "decoded_shape: top_paths * int64",
        "log_probability: T",
    ],
    attrs=[
        "beam_width: int >= 1",
        "top_paths: int >= 1",
        "merge_repeated: bool = true",
        "T: {float, double} = DT_FLOAT",
    ],
    shape=_beam_shape,
)


@export("nn.ctc_greedy_decoder")
def ctc_greedy_decoder(
    inputs: Any, sequence_length: Any, merge_repeated: bool = True, blank_index: int | None = None
) -> tuple[list[SparseTensor], Tensor]:
    """The likeliest class of each step, blanks left out.

    Args:
        inputs: logits `[steps, batch, classes]`.
        sequence_length: int32 vector, how many steps of each sequence count.
        merge_repeated: take a class that lasts several steps for one label.
        blank_index: the blank's class; the last one when None, negative ones count from the end.

    Returns:
        A list of one int64 SparseTensor of labels, `[batch, most labels]`; and a matrix
        `[batch, 1]`, the negative sum of the greatest logits.

    Raises:
        FailedPreconditionError: at run time, where lengths do not fit; InvalidArgumentError where
            there is no sequence, or no such blank.
    """
    attrs = {"merge_repeated": merge_repeated}
    if blank_index is not None:
        attrs["blank_index"] = blank_index
    *decoded, scores = create_op("CTCGreedyDecoder", [inputs, sequence_length], attrs)
    return [SparseTensor(*decoded)], scores


@export("nn.ctc_beam_search_decoder")
def ctc_beam_search_decoder(
    inputs: Any,
    sequence_length: Any,
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
) -> tuple[list[SparseTensor], Tensor]:
    """The likeliest sequences of labels, found by a search that keeps the best beginnings.

    Args:
        inputs: logits `[steps, batch, classes]`, of which the last class is the blank.
        sequence_length: int32 vector, how many steps of each sequence count.
        beam_width: how many beginnings are kept after each step.
        top_paths: how many sequences of labels are given, the best one first.
        merge_repeated: merge equal labels that follow each other in what is found; this also
            merges those that a blank parts.

    Returns:
        A list of `top_paths` int64 SparseTensors of labels, `[batch, most labels]`; and their log
        probabilities, `[batch, top_paths]`.

    Raises:
        FailedPreconditionError: at run time, where lengths do not fit.
        InvalidArgumentError: at run time, where fewer sequences are found than asked for.
    """
    attrs = {"beam_width": beam_width, "top_paths": top_paths, "merge_repeated": merge_repeated}
    *parts, scores = create_op("CTCBeamSearchDecoder", [inputs, sequence_length], attrs)
    return [SparseTensor(*path) for path in zip(*parts, strict=True)], scores


@export("nn.ctc_beam_search_decoder_v2")
def ctc_beam_search_decoder_v2(
    inputs: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[SparseTensor], Tensor]:
    """As `ctc_beam_search_decoder`, with the labels as they are found."""
    return ctc_beam_search_decoder(inputs, sequence_length, beam_width, top_paths, False)
