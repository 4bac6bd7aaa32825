"""Linear maps with variables of the current scope, which the older cells and decoders share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.tensor import Tensor
from tfsession.ops.initializers import Constant
from tfsession.ops.join import concat
from tfsession.ops.matmul import matmul
from tfsession.ops.nn import bias_add
from tfsession.ops.variable_scope import get_variable


@export("contrib.rnn.core_rnn_cell._linear", "contrib.rnn._linear")
def linear(
    args: Any,
    output_size: int,
    bias: bool,
    bias_initializer: Any = None,
    kernel_initializer: Any = None,
) -> Tensor:
    """`args @ kernel + bias`, with the variables `kernel` and `bias` of the current scope.

    Args:
        args: a tensor `[batch, depth]`, or several, which are joined.
        output_size: size of the result.
        bias: whether there is a bias.
        bias_initializer, kernel_initializer: initializers; a bias begins with zeros.

    Raises:
        ValueError: there are no tensors, or one is no matrix or of unknown depth.
    """
    tensors: Sequence[Tensor] = args if isinstance(args, list | tuple) else [args]
    if not tensors:
        raise ValueError("`args` must be specified")
    depth = 0
    for tensor in tensors:
        if tensor.shape.ndims != 2:
            raise ValueError(f"linear is expecting 2D arguments: {tensor.shape}")
        size = tensor.shape.as_list()[1]
        if size is None:
            raise ValueError(
                f"linear expects shape[1] to be provided for shape {tensor.shape}, but saw None"
            )
        depth += size
    dtype = tensors[0].dtype.base_dtype
    kernel = get_variable(
        "kernel", [depth, output_size], dtype=dtype, initializer=kernel_initializer
    )  # fmt: skip
    product = matmul(tensors[0] if len(tensors) == 1 else concat(tensors, 1), kernel)
    if not bias:
        return product
    begin = Constant(0.0, dtype=dtype) if bias_initializer is None else bias_initializer
    return bias_add(product, get_variable("bias", [output_size], dtype=dtype, initializer=begin))
