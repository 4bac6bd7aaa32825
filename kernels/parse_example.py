"""Kernels that parse serialized Examples, on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, float32
from tfsession.core.errors import InvalidArgumentError, OpError
from tfsession.core.example_layout import values_by_name
from tfsession.core.examples import (
    Column,
    WrongKindError,
    column,
    example_features,
    known_column,
)
from tfsession.core.rules import for_each_row, kernel
from tfsession.core.shape import Shape, debug_string


def type_name(dtype: DType) -> str:
    """What errors call the type of a feature's values."""
    return "float" if dtype is float32 else dtype.name


def texts_of(serialized: Any, names: Any) -> tuple[list[bytes], list[bytes]]:
    """The serialized examples and their names, if they have any; both may be scalars."""
    if serialized.ndim > 1:
        raise refusal(
            "Expected serialized to be a scalar or vector, got shape: "
            f"{debug_string(serialized.shape)}"
        )
    if names.size and names.shape != serialized.shape:
        raise refusal(
            "Expected names have the same shape as serialized: "
            f"name.shape={debug_string(names.shape)}, "
            f"serialized.shape={debug_string(serialized.shape)}"
        )
    return serialized.ravel().tolist(), names.ravel().tolist()


class Batch:
    """The features of examples, one or several, as columns.

    Args:
        texts: the examples, serialized.
        names: of the examples, for errors; may be empty.
        is_single: it is one example, whose values have no dimension for a batch.
    """

    def __init__(self, texts: list[bytes], names: list[bytes], is_single: bool) -> None:
        self._texts = texts
        self._known = values_by_name(texts) if len(texts) > 1 else None
        self._parsed: list[dict[bytes, bytes]] | None = None
        if self._known is None:
            self._features()
        self._names = names
        self.is_single = is_single

    @classmethod
    def of(cls, features: list[dict[bytes, bytes]], names: list[bytes], is_single: bool) -> Batch:
        """Of features that are taken apart already."""
        batch = cls([], names, is_single)
        batch._texts = [b""] * len(features)
        batch._parsed = features
        return batch

    def __len__(self) -> int:
        return len(self._texts)

    def _features(self) -> list[dict[bytes, bytes]]:
        """The features of each example, serialized, by name."""
        if self._parsed is None:
            self._parsed = list(map(_features, self._texts))
        return self._parsed

    def _where(self, key: bytes, index: int, part: str = "Key") -> str:
        text = f"{part}: {key.decode(errors='replace')}"
        if self.is_single:
            return text
        name = self._names[index].decode(errors="replace") if self._names else "<unknown>"
        place = f", Index: {index}" if part == "Key" else ""
        return f"Name: {name}, {text}{place}"

    def _column(self, key: bytes, dtype: DType, mismatch: str) -> Column:
        if self._known is not None:
            if key not in self._known:
                return column([None] * len(self), dtype)
            with suppress(ValueError):  # told below
                found = known_column(*self._known[key], dtype)
                if found is not None:
                    return found
        try:
            return column([features.get(key) for features in self._features()], dtype)
        except WrongKindError as error:
            text = mismatch.format(found=error.found, wanted=type_name(dtype))
            raise refusal(
                f"{self._where(key, error.index)}.  Data types don't match. {text}"
            ) from None
        except ValueError:
            raise refusal(f"Could not parse the values of feature {key!r}") from None

    def lists(self, key: bytes, dtype: DType) -> Column:
        """The values of a feature of which there may be any number."""
        return self._column(key, dtype, "Expected type: {wanted}, Actual type: {found}")

    def dense(self, key: bytes, dtype: DType, shape: Shape, default: Any) -> Any:
        """The values of a feature in an array whose first dimension, of a batch, is examples."""
        shape = inner_known(shape, repr(key))
        found = self._column(key, dtype, "Data type: {found} but expected type: {wanted}")
        if shape and shape[0] is None:
            values = self._padded(key, dtype, shape[1:], found, default)
        else:
            values = self._fixed(key, dtype, shape, found, default)
        return values[0, ...] if self.is_single else values

    def each(self, key: bytes, dtype: DType) -> list[Any]:
        """The values of a feature, an own vector for each example."""
        found = self.lists(key, dtype)
        ends = np.cumsum(found.counts)
        return [part.copy() for part in np.split(found.values, ends[:-1])]

    def dense_each(self, key: bytes, dtype: DType, shape: Shape, default: Any) -> list[Any]:
        """As `dense`, an own array for each example."""
        shape = inner_known(shape, repr(key))
        if not shape or shape[0] is not None:
            values = self.dense(key, dtype, shape, default)
            return [values[i, ...].copy() for i in range(len(self))]
        stride = math.prod(shape[1:])
        rows = self.each(key, dtype)
        if not stride or any(len(row) % stride for row in rows):
            raise refusal(f"Number of values of {key!r} is not a multiple of stride length.")
        return [row.reshape(-1, *shape[1:]) for row in rows]

    def _fixed(self, key: bytes, dtype: DType, shape: Any, found: Column, default: Any) -> Any:
        size = math.prod(shape)
        if found.counts.count(size) == len(self) and not found.missing:
            return found.values.reshape(len(self), *shape)
        if found.missing and not default.size and size:
            where = self._where(key, found.missing[0], "Feature")
            raise refusal(
                f"{where} (data type: {type_name(dtype)}) is required but could not be found."
            )
        missing = set(found.missing)
        for index, count in enumerate(found.counts):
            if count != size and index not in missing:
                raise refusal(
                    f"{self._where(key, index)}.  Number of {type_name(dtype)} values != "
                    f"expected.  Values size: {count} but output shape: {debug_string(shape)}"
                )
        result = np.empty((len(self), size), found.values.dtype)
        present = np.ones(len(self), bool)
        present[found.missing] = False
        result[present] = found.values.reshape(-1, size)
        result[found.missing] = default.reshape(-1)
        return result.reshape(len(self), *shape)

    def _padded(self, key: bytes, dtype: DType, shape: Any, found: Column, default: Any) -> Any:
        stride = math.prod(shape)
        for index, count in enumerate(found.counts):
            if count % stride if stride else count:
                raise refusal(
                    f"{self._where(key, index)}.  Number of {type_name(dtype)} values is not a "
                    f"multiple of stride length. Saw {count} values but output shape is: "
                    f"{debug_string((None, *shape))}"
                )
        longest = max(found.counts, default=0)
        steps = longest // stride if stride else 0
        if len(found.values) == longest * len(self):
            return found.values.reshape(len(self), steps, *shape)
        result = np.full((len(self), longest), default.item(), found.values.dtype)
        result[np.arange(longest) < np.array(found.counts)[:, None]] = found.values
        return result.reshape(len(self), steps, *shape)

    def sparse(self, key: bytes, dtype: DType) -> tuple[Any, Any, Any]:
        """Indices, values and dense shape."""
        found = self.lists(key, dtype)
        longest = max(found.counts, default=0)
        if self.is_single:
            return np.arange(longest)[:, None], found.values, np.array([longest])
        counts = np.array(found.counts, np.int64)
        places = np.arange(len(found.values)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(np.arange(len(self)), counts)
        return np.stack([rows, places], 1), found.values, np.array([len(self), longest])

    def ragged(self, key: bytes, dtype: DType, split_dtype: DType) -> tuple[Any, Any]:
        """Values and row splits; a single example has no rows."""
        found = self.lists(key, dtype)
        if self.is_single:
            return found.values, np.zeros(0, split_dtype.numpy)
        return found.values, np.cumsum([0, *found.counts]).astype(split_dtype.numpy)


def _features(text: bytes) -> dict[bytes, bytes]:
    try:
        return example_features(text)
    except ValueError:
        shown = text.decode("latin-1").encode("unicode_escape").decode()
        raise refusal(f"Could not parse example input, value: '{shown}'") from None


def refusal(message: str) -> OpError:
    """The error for examples that are not as they were described."""
    return InvalidArgumentError(None, None, message)


def inner_known(shape: Shape, which: str) -> tuple[Any, ...]:
    """A feature's shape, of which the first dimension alone may be unknown."""
    if shape is None or None in shape[1:]:
        raise refusal(
            f"dense_shapes[{which}] has unknown rank or unknown inner dimensions: "
            f"{debug_string(shape)}"
        )
    return shape


def check_defaults(defaults: Sequence[Any], shapes: Sequence[Shape]) -> None:
    """Raise InvalidArgumentError for a default that does not fit its feature."""
    for index, (default, given) in enumerate(zip(defaults, shapes, strict=True)):
        shape = inner_known(given, str(index))
        if shape and shape[0] is None:
            if default.size != 1:
                raise refusal(
                    f"dense_shape[{index}] is a variable length shape: {debug_string(shape)}, "
                    f"therefore def_value[{index}] must contain a single element (the padding "
                    f"element).  But its shape is: {debug_string(default.shape)}"
                )
        elif default.size and default.shape != shape:
            raise refusal(
                f"def_value[{index}].shape() == {debug_string(default.shape)} is not compatible "
                f"with dense_shapes_[{index}] == {debug_string(shape)}"
            )


def _batch(serialized: Any, names: Any) -> Batch:
    texts, known = texts_of(serialized, names)
    return Batch(texts, known, serialized.ndim == 0)


def _parsed(
    batch: Batch,
    sparse: Sequence[tuple[bytes, DType]],
    dense: Sequence[tuple[bytes, DType, Shape, Any]],
    ragged: Sequence[tuple[bytes, DType, DType]] = (),
) -> tuple[Any, ...]:
    """The outputs of a parsing op, in its order."""
    check_defaults([d[3] for d in dense], [d[2] for d in dense])
    sparse_columns = [batch.sparse(*one) for one in sparse]
    dense_values = [batch.dense(*one) for one in dense]
    ragged_columns = [batch.ragged(*one) for one in ragged]
    return (
        *(part for parts in zip(*sparse_columns, strict=True) for part in parts),
        *dense_values,
        *(part for parts in zip(*ragged_columns, strict=True) for part in parts),
    )


def keys_of(array: Any) -> list[bytes]:
    """The names of features; InvalidArgumentError where they are no vector."""
    if array.ndim != 1:
        raise InvalidArgumentError(
            None, None, f"Keys must be a vector, got shape {debug_string(array.shape)}"
        )
    return list(array.tolist())


@kernel("ParseExampleV2", device="CPU")
def parse_example_v2(
    xp: Any, serialized: Any, names: Any, sparse_keys: Any, dense_keys: Any, ragged_keys: Any,
    *defaults: Any, Tdense: list[DType], sparse_types: list[DType],
    ragged_value_types: list[DType], ragged_split_types: list[DType], dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Sparse indices, values and shapes; dense values; ragged values and row splits."""
    return _parsed(
        _batch(serialized, names),
        list(zip(keys_of(sparse_keys), sparse_types, strict=True)),
        list(zip(keys_of(dense_keys), Tdense, dense_shapes, defaults, strict=True)),
        list(zip(keys_of(ragged_keys), ragged_value_types, ragged_split_types, strict=True)),
    )


@for_each_row("ParseExampleV2")
def parse_each(
    texts: list[Any], names: Any, sparse_keys: Any, dense_keys: Any, ragged_keys: Any,
    *defaults: Any, Tdense: list[DType], sparse_types: list[DType],
    ragged_value_types: list[DType], ragged_split_types: list[DType], dense_shapes: list[Shape],
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Of single examples what parsing each gives; what fails does so with less to tell."""
    check_defaults(defaults, dense_shapes)
    batch = Batch([text[()] for text in texts], [], is_single=False)
    none = [()] * len(texts)
    sparse = [
        [(np.arange(len(row))[:, None], row, np.array([len(row)])) for row in batch.each(*one)]
        for one in zip(sparse_keys.tolist(), sparse_types, strict=True)
    ]
    dense = [
        batch.dense_each(*one)
        for one in zip(dense_keys.tolist(), Tdense, dense_shapes, defaults, strict=True)
    ]
    ragged = [
        [(row, np.zeros(0, split_dtype.numpy)) for row in batch.each(key, dtype)]
        for key, dtype, split_dtype in zip(
            ragged_keys.tolist(), ragged_value_types, ragged_split_types, strict=True
        )
    ]
    return [
        (
            *(part for parts in zip(*of_sparse, strict=True) for part in parts),
            *of_dense,
            *(part for parts in zip(*of_ragged, strict=True) for part in parts),
        )
        for of_sparse, of_dense, of_ragged in zip(
            zip(*sparse, strict=True) if sparse else none,
            zip(*dense, strict=True) if dense else none,
            zip(*ragged, strict=True) if ragged else none,
            strict=True,
        )
    ]


@kernel("ParseExample", device="CPU")
def parse_example(
    xp: Any, serialized: Any, names: Any, *keys_and_defaults: Any, Nsparse: int, Ndense: int,
    sparse_types: list[DType], Tdense: list[DType], dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Sparse indices, values and shapes; dense values."""
    keys = [key.item() for key in keys_and_defaults[: Nsparse + Ndense]]
    defaults = keys_and_defaults[Nsparse + Ndense :]
    return _parsed(
        _batch(serialized, names),
        list(zip(keys[:Nsparse], sparse_types, strict=True)),
        list(zip(keys[Nsparse:], Tdense, dense_shapes, defaults, strict=True)),
    )


@kernel("ParseSingleExample", device="CPU")
def parse_single_example(
    xp: Any, serialized: Any, *defaults: Any, sparse_keys: list[bytes], dense_keys: list[bytes],
    sparse_types: list[DType], Tdense: list[DType], dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Sparse indices, values and shapes; dense values."""
    if serialized.ndim:
        shape = debug_string(serialized.shape)
        raise refusal(f"Expected serialized to be a scalar, got shape: {shape}")
    return _parsed(
        _batch(serialized, np.empty(0, object)),
        list(zip(sparse_keys, sparse_types, strict=True)),
        list(zip(dense_keys, Tdense, dense_shapes, defaults, strict=True)),
    )
