"""Static shapes: `TensorShape` for users, plain tuples for the runtime.

The runtime keeps a shape as a `Shape`: a tuple of ints and Nones, or None for an unknown rank. The
functions on such tuples raise ValueError with the texts of shape inference, those of `TensorShape`
with the texts of its methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, overload

from tfsession.core import protos
from tfsession.core.dimension import (
    Dimension,
    as_dimension,
    dimension_value,
    to_size,
)

__all__ = [
    "Dimension",
    "Shape",
    "TensorShape",
    "as_dimension",
    "as_shape",
    "broadcast",
    "debug_string",
    "dimension_at_index",
    "dimension_value",
    "disable_v2_tensorshape",
    "enable_v2_tensorshape",
    "is_compatible",
    "is_fully_defined",
    "merge",
    "num_elements",
    "shape_text",
    "to_proto",
    "to_shape",
    "unknown_shape",
]

Shape = tuple[int | None, ...] | None

# Whether the entries of a TensorShape are ints and Nones, and unknown ones print as None.
v2_tensorshape_behavior = False


def enable_v2_tensorshape() -> None:
    """Let the entries of a `TensorShape` be ints and Nones instead of Dimensions."""
    global v2_tensorshape_behavior
    v2_tensorshape_behavior = True


def disable_v2_tensorshape() -> None:
    """Let the entries of a `TensorShape` be Dimensions, as in TensorFlow 1."""
    global v2_tensorshape_behavior
    v2_tensorshape_behavior = False


# --- plain tuples ---------------------------------------------------------------------------------


def to_shape(value: Any) -> Shape:
    """The tuple for a TensorShape, TensorShapeProto, iterable of sizes, one size, or None.

    TypeError for what is no shape, ValueError for a negative size.
    """
    kind = type(value)
    if kind is TensorShape:
        return value._dims  # type: ignore[no-any-return]
    if kind is tuple or kind is list:
        for size in value:
            if size is not None and (type(size) is not int or size < 0):
                return tuple(map(to_size, value))
        return tuple(value)
    if value is None:
        return None
    if isinstance(value, TensorShape):
        return value._dims
    if isinstance(value, (tuple, list)):
        return tuple(map(to_size, value))
    if hasattr(value, "unknown_rank"):
        return _from_proto(value)
    return _from_iterable(value)


def _from_proto(proto: Any) -> Shape:
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size == -1 else to_size(dim.size) for dim in proto.dim)


def _from_iterable(value: Any) -> Shape:
    try:
        sizes = iter(value)
    except TypeError:
        return (to_size(value),)
    shape = []
    for size in sizes:
        try:
            shape.append(to_size(size))
        except TypeError as error:
            raise TypeError(
                f"Failed to convert '{value!r}' to a shape: '{size!r}'"
                "could not be converted to a dimension. A shape should either be single dimension "
                "(e.g. 10), or an iterable of dimensions (e.g. [1, 10, None])."
            ) from error
    return tuple(shape)


def is_fully_defined(shape: Shape) -> bool:
    """Whether the rank and every size are known."""
    return shape is not None and None not in shape


def num_elements(shape: Shape) -> int | None:
    """The product of the sizes, or None unless all are known."""
    if shape is None or None in shape:
        return None
    return math.prod(shape)  # type: ignore[arg-type]


def is_compatible(a: Shape, b: Shape) -> bool:
    """Whether one tensor may have both shapes."""
    if a is None or b is None or a == b:
        return True
    if len(a) != len(b):
        return False
    return all(x == y or x is None or y is None for x, y in zip(a, b, strict=True))


def merge(a: Shape, b: Shape) -> Shape:
    """The shape that both know together; ValueError if they differ."""
    if a == b or b is None:
        return a
    if a is None:
        return b
    if len(a) != len(b):
        raise ValueError(f"Shapes must be equal rank, but are {len(a)} and {len(b)}")
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y and x is not None and y is not None:
            raise ValueError(
                f"Dimension {i} in both shapes must be equal, but are {x} and {y}. "
                f"Shapes are {debug_string(a)} and {debug_string(b)}."
            )
    return tuple(y if x is None else x for x, y in zip(a, b, strict=True))


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape of an element-wise operation on both; ValueError if they do not fit.

    A known size above one wins over an unknown one, an unknown size over one and zero.
    """
    if a is None or b is None:
        return None
    if a == b and None not in a:
        return a
    missing = len(a) - len(b)
    if missing > 0:
        b = (1,) * missing + b
    elif missing < 0:
        a = (1,) * -missing + a
    return tuple(map(_broadcast_size, a, b))


def _broadcast_size(x: int | None, y: int | None) -> int | None:
    if x == y or y == 1:
        return x
    if x == 1:
        return y
    if x is None or y is None:
        known = y if x is None else x
        return None if known == 0 else known
    raise ValueError(f"Dimensions must be equal, but are {x} and {y}")


def debug_string(shape: Shape, unknown: str = "?") -> str:
    """`[2,?]`, as error texts of shape inference have it; `unknown` stands for an unknown rank.

    Texts of shape attributes have "<unknown>" there.
    """
    if shape is None:
        return unknown
    return "[" + ",".join(["?" if size is None else str(size) for size in shape]) + "]"


def shape_text(shape: Shape) -> str:
    """`(?, 3)`, as Python's error texts and `str(TensorShape)` have it; `(None, 3)` in v2 mode."""
    if shape is None:
        return "<unknown>"
    unknown = "None" if v2_tensorshape_behavior else "?"
    sizes = [unknown if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def to_proto(shape: Shape) -> Any:
    """The TensorShapeProto of a shape; an unknown size is -1 there."""
    if shape is None:
        return protos.TensorShapeProto(unknown_rank=True)
    proto = protos.TensorShapeProto()
    for size in shape:
        proto.dim.add(size=-1 if size is None else size)
    return proto


# --- for users ------------------------------------------------------------------------------------


class TensorShape:
    """The static shape of a tensor: fully known, known in part, or of unknown rank.

    Args:
        dims: an iterable of sizes (ints, Nones, Dimensions), one size, a TensorShape, a
            TensorShapeProto, or None for an unknown rank.
    """

    __slots__ = ("__weakref__", "_dims")

    _dims: Shape

    def __init__(self, dims: Any) -> None:
        self._dims = to_shape(dims)

    @staticmethod
    def from_tuple(shape: Shape) -> TensorShape:
        """Wrap a tuple that is known to be a `Shape`, unchecked."""
        self = TensorShape.__new__(TensorShape)
        self._dims = shape
        return self

    @property
    def dims(self) -> list[Dimension] | None:
        """The entries as Dimensions, or None if the rank is unknown."""
        return None if self._dims is None else [Dimension(size) for size in self._dims]

    @property
    def rank(self) -> int | None:
        """The number of dimensions, or None if it is unknown."""
        return None if self._dims is None else len(self._dims)

    @property
    def ndims(self) -> int | None:
        """The same as `rank`."""
        return self.rank

    def as_list(self) -> list[int | None]:
        """The sizes, None where unknown; ValueError if the rank is unknown."""
        if self._dims is None:
            raise ValueError("as_list() is not defined on an unknown TensorShape.")
        return list(self._dims)

    def as_proto(self) -> Any:
        """This shape as a TensorShapeProto."""
        return to_proto(self._dims)

    def num_elements(self) -> int | None:
        """The product of the sizes, or None unless all are known."""
        return num_elements(self._dims)

    def is_fully_defined(self) -> bool:
        """Whether the rank and every size are known."""
        return is_fully_defined(self._dims)

    def is_compatible_with(self, other: Any) -> bool:
        """Whether one tensor may have both shapes."""
        return is_compatible(self._dims, to_shape(other))

    def merge_with(self, other: Any) -> TensorShape:
        """The shape that both know together; ValueError if they differ."""
        other = as_shape(other)
        if not is_compatible(self._dims, other._dims):
            raise ValueError(f"Shapes {self} and {other} are not compatible")
        return TensorShape.from_tuple(merge(self._dims, other._dims))

    def concatenate(self, other: Any) -> TensorShape:
        """The dimensions of this shape followed by those of `other`."""
        dims = to_shape(other)
        if self._dims is None or dims is None:
            return unknown_shape()
        return TensorShape.from_tuple(self._dims + dims)

    def most_specific_compatible_shape(self, other: Any) -> TensorShape:
        """The most specific shape that covers both."""
        dims = to_shape(other)
        if self._dims is None or dims is None or len(self._dims) != len(dims):
            return unknown_shape()
        pairs = zip(self._dims, dims, strict=True)
        return TensorShape.from_tuple(tuple(x if x == y else None for x, y in pairs))

    def with_rank(self, rank: int | None) -> TensorShape:
        """This shape, of rank `rank`; ValueError if its rank is another."""
        try:
            return self.merge_with(unknown_shape(rank=rank))
        except ValueError:
            raise ValueError(f"Shape {self} must have rank {rank}") from None

    def with_rank_at_least(self, rank: int) -> TensorShape:
        """This shape; ValueError if its rank is known and lower."""
        if self._dims is not None and len(self._dims) < rank:
            raise ValueError(f"Shape {self} must have rank at least {rank}")
        return self

    def with_rank_at_most(self, rank: int) -> TensorShape:
        """This shape; ValueError if its rank is known and higher."""
        if self._dims is not None and len(self._dims) > rank:
            raise ValueError(f"Shape {self} must have rank at most {rank}")
        return self

    def assert_has_rank(self, rank: int) -> None:
        """Raise ValueError if the rank is known and not `rank`."""
        if self._dims is not None and len(self._dims) != rank:
            raise ValueError(f"Shape {self} must have rank {rank}")

    def assert_same_rank(self, other: Any) -> None:
        """Raise ValueError if both ranks are known and differ."""
        other = as_shape(other)
        if self._dims is not None and other._dims is not None and self.rank != other.rank:
            raise ValueError(f"Shapes {self} and {other} must have the same rank")

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raise ValueError if no tensor can have both shapes."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {other} are incompatible")

    def assert_is_fully_defined(self) -> None:
        """Raise ValueError unless the rank and every size are known."""
        if not self.is_fully_defined():
            raise ValueError(f"Shape {self} is not fully defined")

    def __len__(self) -> int:
        if self._dims is None:
            raise ValueError("Cannot take the length of shape with unknown rank.")
        return len(self._dims)

    def __bool__(self) -> bool:
        return self._dims is not None

    def __iter__(self) -> Iterator[Any]:
        if self._dims is None:
            raise ValueError("Cannot iterate over a shape with unknown rank.")
        return iter(self._dims if v2_tensorshape_behavior else self.dims or ())

    @overload
    def __getitem__(self, key: slice) -> TensorShape: ...

    @overload
    def __getitem__(self, key: Any) -> Any: ...

    def __getitem__(self, key: Any) -> Any:
        if self._dims is None:
            if isinstance(key, slice):
                return _slice_of_unknown(key)
            return None if v2_tensorshape_behavior else Dimension(None)
        if isinstance(key, slice):
            return TensorShape.from_tuple(self._dims[key])
        return self._dims[key] if v2_tensorshape_behavior else (self.dims or [])[key]

    def __add__(self, other: Any) -> TensorShape:
        return self.concatenate(other)

    def __radd__(self, other: Any) -> TensorShape:
        return as_shape(other).concatenate(self)

    def __eq__(self, other: object) -> bool:
        try:
            return self._dims == to_shape(other)
        except TypeError:
            return NotImplemented

    def __ne__(self, other: object) -> bool:
        try:
            return self._dims != to_shape(other)
        except TypeError:
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self._dims)

    def __repr__(self) -> str:
        if self._dims is None:
            return "TensorShape(None)"
        return f"TensorShape({list(self._dims) if v2_tensorshape_behavior else self.dims!r})"

    def __str__(self) -> str:
        return shape_text(self._dims)

    def __reduce__(self) -> tuple[type[TensorShape], tuple[Shape]]:
        return TensorShape, (self._dims,)


def _slice_of_unknown(key: slice) -> TensorShape:
    """A slice of a shape of unknown rank: its length is known only between two front positions."""
    if key.step is not None:
        raise ValueError("Steps are not yet handled")
    start = 0 if key.start is None else key.start
    if key.stop is None or key.stop < 0 or start < 0:
        return unknown_shape()
    return unknown_shape(rank=key.stop - start)


def as_shape(shape: Any) -> TensorShape:
    """`shape` as a TensorShape; a TensorShape is returned as it is."""
    return shape if isinstance(shape, TensorShape) else TensorShape(shape)


def unknown_shape(rank: int | None = None, **kwargs: Any) -> TensorShape:
    """A shape of which at most the rank is known. `ndims` is an older name of `rank`."""
    if rank is None and "ndims" in kwargs:
        rank = kwargs.pop("ndims")
    if kwargs:
        raise TypeError(f"Unknown argument: {kwargs}")
    return TensorShape.from_tuple(None if rank is None else (None,) * rank)


def dimension_at_index(shape: TensorShape, index: int) -> Dimension:
    """The entry at `index` as a Dimension, unknown if the rank is; IndexError beyond the last."""
    return Dimension(None) if shape._dims is None else Dimension(shape._dims[index])
