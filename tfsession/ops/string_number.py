"""Numbers and texts: `tf.as_string`, `tf.string_to_number`, `tf.strings.format`."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import renamed

define_op(
    "AsString",
    inputs=["input: T"],
    outputs=["output: string"],
    attrs=[
        "T: {float, double, int32, uint8, int16, int8, int64, bfloat16, uint16, half, uint32, "
        "uint64, complex64, complex128, bool, variant, string}",
        "precision: int = -1",
        "scientific: bool = false",
        "shortest: bool = false",
        "width: int = -1",
        "fill: string = ''",
    ],
    shape=same_as(0),
)
define_op(
    "StringToNumber",
    inputs=["string_tensor: string"],
    outputs=["output: out_type"],
    attrs=["out_type: {float, double, int32, int64, uint32, uint64} = DT_FLOAT"],
    shape=same_as(0),
)


def _format_shape(op: Operation) -> list[Shape]:
    found = op.attrs["template"].count(op.attrs["placeholder"]) if op.attrs["placeholder"] else 0
    if found != len(op.inputs):
        raise ValueError(
            f"num placeholders in template and num inputs must match: {found} vs. {len(op.inputs)}"
        )
    return [()]


define_op(
    "StringFormat",
    inputs=["inputs: T"],
    outputs=["output: string"],
    attrs=[
        "T: list(type) >= 0",
        "template: string = '%s'",
        "placeholder: string = '%s'",
        "summarize: int = 3",
    ],
    shape=_format_shape,
)


@export("as_string", "strings.as_string", "dtypes.as_string")
def as_string(
    input: Any,
    precision: int = -1,
    scientific: bool = False,
    shortest: bool = False,
    width: int = -1,
    fill: str = "",
    name: str | None = None,
) -> Tensor:
    """Numbers as texts, as C's printf writes them.

    Args:
        input: a tensor of numbers, truth values or texts.
        precision: how many digits stand behind the point; 6 when negative. For floats only.
        scientific: write floats with exponents (`%e`).
        shortest: write floats in the shorter of both ways (`%g`).
        width: the least number of characters.
        fill: one of "0", "+", "-" and " ", as the flags of printf; "" fills with spaces.
        name: name of the operation.

    A step raises InvalidArgumentError for settings that contradict each other or the dtype.
    """
    attrs = {
        "precision": precision,
        "scientific": scientific,
        "shortest": shortest,
        "width": width,
        "fill": fill,
    }
    result: Tensor = create_op("AsString", [input], attrs, name)
    return result


@export("string_to_number", "strings.to_number")
def string_to_number(
    string_tensor: Any = None, out_type: Any = float32, name: str | None = None, input: Any = None
) -> Tensor:
    """The numbers that texts stand for: decimal ones, and for floats hexadecimal ones, inf and nan.

    Args:
        string_tensor: a string tensor; white space around numbers does not matter.
        out_type: float32, float64, int32, int64, uint32 or uint64.
        name: name of the operation.
        input: another name of `string_tensor`.

    A step raises InvalidArgumentError for a text that is no such number.
    """
    texts = renamed("string_tensor", string_tensor, "input", input)
    result: Tensor = create_op("StringToNumber", [texts], {"out_type": out_type}, name)
    return result


@export("strings.format")
def string_format(
    template: str,
    inputs: Any,
    placeholder: str = "{}",
    summarize: int = 3,
    name: str | None = None,
) -> Tensor:
    """A text that shows the values of tensors.

    Args:
        template: the text, with `placeholder` where a tensor stands.
        inputs: a tensor, or a list of them.
        placeholder: what stands for a tensor.
        summarize: how many elements to show at the beginning and at the end of each dimension;
            all when negative.
        name: name of the operation.

    Raises:
        ValueError: there are more or fewer tensors than placeholders.
    """
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    expected = template.count(placeholder)
    if expected != len(inputs):
        raise ValueError(
            f"The template expects {expected} tensors, but the inputs only has {len(inputs)}. "
            "Please ensure the number of placeholders in template matches inputs length."
        )
    attrs = {"template": template, "placeholder": placeholder, "summarize": summarize}
    result: Tensor = create_op("StringFormat", [list(inputs)], attrs, name)
    return result
