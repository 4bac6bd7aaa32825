"""What comparisons, logic and choices compute."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import elementwise, kernel
from tfsession.core.shape import debug_string

elementwise("Less", "less")
elementwise("LessEqual", "less_equal")
elementwise("Greater", "greater")
elementwise("GreaterEqual", "greater_equal")
elementwise("LogicalAnd", "logical_and")
elementwise("LogicalOr", "logical_or")
elementwise("LogicalNot", "logical_not")


@kernel("Equal", elementwise="broadcast")
def equal(xp: Any, x: Any, y: Any, incompatible_shape_error: bool) -> Any:
    """Shapes that do not fit differ as a whole, unless they are an error."""
    if incompatible_shape_error or _fit(x.shape, y.shape):
        return xp.equal(x, y)
    return xp.zeros((), bool)


@kernel("NotEqual", elementwise="broadcast")
def not_equal(xp: Any, x: Any, y: Any, incompatible_shape_error: bool) -> Any:
    """Shapes that do not fit differ as a whole, unless they are an error."""
    if incompatible_shape_error or _fit(x.shape, y.shape):
        return xp.not_equal(x, y)
    return xp.ones((), bool)


def _fit(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    sizes = zip(reversed(x), reversed(y), strict=False)
    return all(a == b or a == 1 or b == 1 for a, b in sizes)


@kernel(
    "ApproximateEqual",
    types={
        "T": [
            *("half", "bfloat16", "float", "double", "complex64", "complex128"),
            *("int8", "int16", "int32", "int64"),
        ]
    },
    elementwise="same",
)
def approximate_equal(xp: Any, x: Any, y: Any, tolerance: float) -> Any:
    """Infinities differ from each other, too."""
    if x.shape != y.shape:
        raise InvalidArgumentError(
            None,
            None,
            f"x and y must be of the same shape. x shape: {debug_string(x.shape)}. "
            f"y shape: {debug_string(y.shape)}",
        )
    return xp.absolute(x - y) < tolerance


# --- choices --------------------------------------------------------------------------------------


@kernel("Select", elementwise="same")
def select(xp: Any, condition: Any, t: Any, e: Any) -> Any:
    """A vector as condition chooses rows of tensors of another rank."""
    if condition.shape == t.shape == e.shape:
        return xp.where(condition, t, e)
    if condition.ndim == 0:
        if t.shape != e.shape:
            raise _mismatch(
                "'then' and 'else' must have the same size.  but received: "
                f"{debug_string(t.shape)} vs. {debug_string(e.shape)}"
            )
    elif condition.ndim != 1 or t.ndim == 1:
        _check_equal_shapes(condition.shape, t.shape, e.shape)
    else:
        _check_rows(condition.shape, t.shape, e.shape)
        condition = condition.reshape(condition.shape + (1,) * (t.ndim - 1))
    return xp.where(condition, t, e)


Sizes = tuple[int, ...]


def _mismatch(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _check_equal_shapes(condition: Sizes, *others: Sizes) -> None:
    for index, other in enumerate(others, 1):
        if other != condition:
            raise _mismatch(
                "Inputs to operation of type Select must have the same size and shape.  Input 0: "
                f"{debug_string(condition)} != input {index}: {debug_string(other)}"
            )


def _check_rows(condition: Sizes, t: Sizes, e: Sizes) -> None:
    if not t:
        raise _mismatch(f"'then' must be at least a vector, but saw shape: {debug_string(t)}")
    if t[0] != condition[0]:
        raise _mismatch(
            f"Number of batches of 'then' must match size of 'cond', but saw: {t[0]} vs. "
            f"{condition[0]}"
        )
    if t != e:
        raise _mismatch(
            "'then' and 'else' must have the same size.  but received: "
            f"{debug_string(t)} vs. {debug_string(e)}"
        )


@kernel("SelectV2", elementwise="broadcast")
def select_v2(xp: Any, condition: Any, t: Any, e: Any) -> Any:
    """All three broadcast."""
    try:
        return xp.where(condition, t, e)
    except ValueError:
        raise _mismatch(
            f"condition {debug_string(condition.shape)}, then {debug_string(t.shape)}, and else "
            f"{debug_string(e.shape)} must be broadcastable"
        ) from None


@kernel("Where")
def where(xp: Any, input: Any) -> Any:
    """NaN counts as true."""
    if input.ndim == 0:
        raise _mismatch("WhereOp : Unhandled input dimensions: 0")
    return xp.argwhere(input != 0).astype("int64")
