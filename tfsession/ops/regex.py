"""Regular expressions over texts, in the syntax of RE2: `tf.strings.regex_replace`."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, with_rank
from tfsession.graph.tensor import Tensor


def _checked_shape(op: Operation) -> list[Shape]:
    """As the texts; pattern and rewrite are scalars."""
    for tensor in op.inputs[1:]:
        with_rank(tensor._shape, 0)
    return [op.inputs[0]._shape]


define_op(
    "StaticRegexFullMatch",
    inputs=["input: string"],
    outputs=["output: bool"],
    attrs=["pattern: string"],
    shape=same_as(0),
)
define_op(
    "RegexFullMatch",
    inputs=["input: string", "pattern: string"],
    outputs=["output: bool"],
    shape=_checked_shape,
)
define_op(
    "StaticRegexReplace",
    inputs=["input: string"],
    outputs=["output: string"],
    attrs=["pattern: string", "rewrite: string", "replace_global: bool = true"],
    shape=same_as(0),
)
define_op(
    "RegexReplace",
    inputs=["input: string", "pattern: string", "rewrite: string"],
    outputs=["output: string"],
    attrs=["replace_global: bool = true"],
    shape=_checked_shape,
)


@export("strings.regex_full_match")
def regex_full_match(input: Any, pattern: Any, name: str | None = None) -> Tensor:
    """Whether the pattern fits the whole of each text, bool.

    Args:
        input: a string tensor.
        pattern: a regular expression of RE2, a text or a string scalar.
        name: name of the operation.

    A step raises InvalidArgumentError for a pattern that is none.
    """
    if isinstance(pattern, str | bytes):
        result: Tensor = create_op("StaticRegexFullMatch", [input], {"pattern": pattern}, name)
    else:
        result = create_op("RegexFullMatch", [input, pattern], None, name)
    return result


@export("strings.regex_replace", "regex_replace")
def regex_replace(
    input: Any, pattern: Any, rewrite: Any, replace_global: bool = True, name: str | None = None
) -> Tensor:
    r"""Texts with another one in place of what the pattern fits.

    Args:
        input: a string tensor.
        pattern: a regular expression of RE2, a text or a string scalar.
        rewrite: what to put there: `\\1` to `\\9` stand for the groups, `\\0` for the whole.
        replace_global: replace all places, not the first one only.
        name: name of the operation.

    A step raises InvalidArgumentError for a pattern that is none, or for other backslashes in
    `rewrite`.
    """
    attrs = {"replace_global": replace_global}
    if isinstance(pattern, str | bytes) and isinstance(rewrite, str | bytes):
        attrs |= {"pattern": pattern, "rewrite": rewrite}  # type: ignore[dict-item]
        result: Tensor = create_op("StaticRegexReplace", [input], attrs, name)
    else:
        result = create_op("RegexReplace", [input, pattern, rewrite], attrs, name)
    return result
