"""Running sums, products and logarithms of sums along an axis."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import create_op
from tfsession.graph.shape_fns import same_as
from tfsession.graph.tensor import Tensor

for _name, _types in (
    ("Cumsum", "numbertype"),
    ("Cumprod", "numbertype"),
    ("CumulativeLogsumexp", "{bfloat16, half, float, double}"),
):
    define_op(
        _name,
        inputs=["x: T", "axis: Tidx"],
        outputs=["out: T"],
        attrs=[
            "exclusive: bool = false",
            "reverse: bool = false",
            f"T: {_types}",
            "Tidx: {int32, int64} = DT_INT32",
        ],
        shape=same_as(0),
    )


def _running(
    op_type: str, x: Any, axis: Any, exclusive: bool, reverse: bool, name: str | None
) -> Tensor:
    attrs = {"exclusive": exclusive, "reverse": reverse}
    result: Tensor = create_op(op_type, [x, axis], attrs, name)
    return result


@export("cumsum", "math.cumsum")
def cumsum(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None
) -> Tensor:
    """The sums of the elements up to each place along `axis`.

    Args:
        x: the tensor.
        axis: the dimension, an integer scalar.
        exclusive: leave each element out of its own sum, so that the first sum is 0.
        reverse: go from the last element to the first.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, when there is no such axis.
    """
    return _running("Cumsum", x, axis, exclusive, reverse, name)


@export("cumprod", "math.cumprod")
def cumprod(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None
) -> Tensor:
    """The products of the elements up to each place along `axis`; arguments as in `cumsum`."""
    return _running("Cumprod", x, axis, exclusive, reverse, name)


@export("math.cumulative_logsumexp")
def cumulative_logsumexp(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None
) -> Tensor:
    """`log(cumsum(exp(x)))` without overflow; arguments as in `cumsum`."""
    return _running("CumulativeLogsumexp", x, axis, exclusive, reverse, name)
