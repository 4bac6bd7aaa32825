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
