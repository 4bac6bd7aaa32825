"""Masks of sequences of different lengths."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import bool as bool_
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant
from tfsession.ops.elementwise import maximum
from tfsession.ops.reduce import reduce_max
from tfsession.ops.shape import expand_dims


@export("sequence_mask")
def sequence_mask(
    lengths: Any, maxlen: Any = None, dtype: Any = bool_, name: str | None = None
) -> Tensor:
    """For each length, that many times true and then false.

    Args:
        lengths: integers of any shape.
        maxlen: the size of the new, last dimension; the largest length when None.
        dtype: of the result.
        name: name scope of the operations.

    Raises:
        ValueError: `maxlen` is no scalar.
    """
    with (
        graph_of([lengths, maxlen]).as_default() as graph,
        graph.name_scope(name or "SequenceMask"),
    ):
        lengths = convert_to_tensor(lengths)
        if maxlen is None:
            maxlen = reduce_max(lengths)
            maxlen = maximum(constant(0, maxlen.dtype), maxlen)
        else:
            maxlen = convert_to_tensor(maxlen)
        if maxlen._shape not in (None, ()):
            raise ValueError(
                "Argument `maxlen` must be scalar for sequence_mask, received `maxlen` = "
                f"{maxlen} with shape '{maxlen.shape}' instead"
            )
        bounds = [constant(0, maxlen.dtype), maxlen, constant(1, maxlen.dtype)]
        places = create_op("Range", bounds)
        counts = create_op("Cast", [expand_dims(lengths, -1)], {"DstT": maxlen.dtype})
        mask: Tensor = places < counts
        return mask if dtype is None else cast(mask, dtype)
