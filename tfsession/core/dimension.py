"""`Dimension`: one entry of a `TensorShape`, a number or unknown; arithmetic keeps the unknown."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

# A dimension as the runtime keeps it.
Size = int | None


def to_size(value: Any) -> Size:
    """The number that `value` stands for, or None for an unknown one.

    TypeError for what is no integer, ValueError for a negative number.
    """
    if value is None:
        return None
    if isinstance(value, Dimension):
        return value._value
    try:
        size = operator.index(value)
    except TypeError:
        if hasattr(value, "__index__"):  # and it says itself what is wrong
            raise
        raise TypeError(
            "Dimension value must be integer or None or have an __index__ method, "
            f"got value '{value!r}' with type '{type(value)!r}'"
        ) from None
    if size < 0:
        raise ValueError(f"Dimension {size} must be >= 0")
    return size


def _combine(function: Callable[[int, int], int], a: Size, b: Size) -> Dimension:
    return Dimension(None if a is None or b is None else function(a, b))


def _compare(function: Callable[[int, int], bool], a: Size, b: Size) -> bool | None:
    return None if a is None or b is None else function(a, b)


def _try_combine(function: Callable[[int, int], int], a: Size, other: Any) -> Any:
    """A Dimension, or NotImplemented where `other` is no size, so that Python asks `other`."""
    try:
        b = to_size(other)
    except (TypeError, ValueError):
        return NotImplemented
    return _combine(function, a, b)


def _try_compare(function: Callable[[int, int], bool], a: Size, other: Any) -> Any:
    try:
        b = to_size(other)
    except (TypeError, ValueError):
        return NotImplemented
    return _compare(function, a, b)


class Dimension:
    """A size that may be unknown. An operation with an unknown operand is unknown.

    Comparisons give None where an operand is unknown; test `value` to tell apart.
    """

    __slots__ = ("_value",)

    _value: Size

    def __init__(self, value: Any) -> None:
        self._value = to_size(value)

    @property
    def value(self) -> Size:
        """The number, or None if it is unknown."""
        return self._value

    def is_compatible_with(self, other: Any) -> bool:
        """Whether both may be the same number: equal, or one of them unknown."""
        size = to_size(other)
        return self._value == size or self._value is None or size is None

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raise ValueError if `other` is another number."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Dimensions {self} and {other} are not compatible")

    def merge_with(self, other: Any) -> Dimension:
        """The number that either of the two knows; ValueError if they differ."""
        size = to_size(other)
        self.assert_is_compatible_with(Dimension(size))
        return Dimension(size if self._value is None else self._value)

    def __add__(self, other: Any) -> Any:
        return _try_combine(operator.add, self._value, other)

    def __radd__(self, other: Any) -> Any:
        return _try_combine(operator.add, self._value, other)

    def __sub__(self, other: Any) -> Any:
        return _try_combine(operator.sub, self._value, other)

    def __rsub__(self, other: Any) -> Dimension:
        return _combine(operator.sub, to_size(other), self._value)

    def __mul__(self, other: Any) -> Any:
        return _try_combine(operator.mul, self._value, other)

    def __rmul__(self, other: Any) -> Any:
        return _try_combine(operator.mul, self._value, other)

    def __floordiv__(self, other: Any) -> Any:
        return _try_combine(operator.floordiv, self._value, other)

    def __rfloordiv__(self, other: Any) -> Dimension:
        return _combine(operator.floordiv, to_size(other), self._value)

    def __mod__(self, other: Any) -> Dimension:
        return _combine(operator.mod, self._value, to_size(other))

    def __rmod__(self, other: Any) -> Dimension:
        return _combine(operator.mod, to_size(other), self._value)

    def __truediv__(self, other: Any) -> NoReturn:
        _refuse_division(type(self), type(other))

    def __rtruediv__(self, other: Any) -> NoReturn:
        _refuse_division(type(other), type(self))

    def __eq__(self, other: object) -> Any:
        return _try_compare(operator.eq, self._value, other)

    def __ne__(self, other: object) -> Any:
        return _try_compare(operator.ne, self._value, other)

    # Equality that may be unknown cannot agree with a hash.
    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool | None:
        return _compare(operator.lt, self._value, to_size(other))

    def __le__(self, other: Any) -> bool | None:
        return _compare(operator.le, self._value, to_size(other))

    def __gt__(self, other: Any) -> bool | None:
        return _compare(operator.gt, self._value, to_size(other))

    def __ge__(self, other: Any) -> bool | None:
        return _compare(operator.ge, self._value, to_size(other))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __int__(self) -> int:
        return self._value  # type: ignore[return-value]  # Python raises the TypeError for None

    def __index__(self) -> int:
        return self._value  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"Dimension({self._value!r})"

    def __str__(self) -> str:
        return "?" if self._value is None else str(self._value)

    def __reduce__(self) -> tuple[type[Dimension], tuple[Size]]:
        return Dimension, (self._value,)


def _refuse_division(left: type, right: type) -> NoReturn:
    raise TypeError(
        f"unsupported operand type(s) for /: {left.__name__!r} and {right.__name__!r}, "
        "please use // instead"
    )


def as_dimension(value: Any) -> Dimension:
    """`value` as a Dimension; a Dimension is returned as it is."""
    return value if isinstance(value, Dimension) else Dimension(value)


def dimension_value(dimension: Any) -> Any:
    """The number of a Dimension (None if unknown); anything else is returned as it is."""
    return dimension._value if isinstance(dimension, Dimension) else dimension
