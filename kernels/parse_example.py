"""Kernels that parse serialized Examples, on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, float32
from tfsession.core.errors import InvalidArgumentError, OpError
from tfsession.core.examples import Column, WrongKindError, column, example_features
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string


def _type_name(dtype: DType) -> str:
    return "float" if dtype is float32 else dtype.name


class _Batch:
    """Serialized Examples, one or several, as columns."""

    def __init__(self, serialized: Any, names: Any) -> None:
        if serialized.ndim > 1:
            raise _error(
                "Expected serialized to be a scalar or vector, got shape: "
                f"{debug_string(serialized.shape)}"
            )
        if names.size and names.shape != serialized.shape:
            raise _error(
                "Expected names have the same shape as serialized: "
                f"name.shape={debug_string(names.shape)}, "
                f"serialized.shape={debug_string(serialized.shape)}"
            )
        self.is_single = serialized.ndim == 0
        self._names = names.ravel().tolist()
        self._features = [_features(text) for text in serialized.ravel().tolist()]

    def __len__(self) -> int:
        return len(self._features)

    def _where(self, key: bytes, index: int, part: str = "Key") -> str:
        text = f"{part}: {key.decode(errors='replace')}"
        if self.is_single:
            return text
        name = self._names[index].decode(errors="replace") if self._names else "<unknown>"
        place = f", Index: {index}" if part == "Key" else ""
        return f"Name: {name}, {text}{place}"

    def _column(self, key: bytes, dtype: DType, mismatch: str) -> Column:
        try:
            return column([features.get(key) for features in self._features], dtype)
        except WrongKindError as error:
            text = mismatch.format(found=error.found, wanted=_type_name(dtype))
            raise _error(
                f"{self._where(key, error.index)}.  Data types don't match. {text}"
            ) from None
        except ValueError:
            raise _error(f"Could not parse the values of feature {key!r}") from None

    def lists(self, key: bytes, dtype: DType) -> Column:
        """The values of a feature of which there may be any number."""
        return self._column(key, dtype, "Expected type: {wanted}, Actual type: {found}")

    def dense(self, key: bytes, dtype: DType, shape: Shape, default: Any) -> Any:
        """The values of a feature in an array whose first dimension, of a batch, is examples."""
        assert shape is not None
        found = self._column(key, dtype, "Data type: {found} but expected type: {wanted}")
        if shape and shape[0] is None:
            values = self._padded(key, dtype, shape[1:], found, default)
        else:
            values = self._fixed(key, dtype, shape, found, default)
        return values[0, ...] if self.is_single else values

    def _fixed(self, key: bytes, dtype: DType, shape: Any, found: Column, default: Any) -> Any:
        size = math.prod(shape)
        if found.counts.count(size) == len(self) and not found.missing:
            return found.values.reshape(len(self), *shape)
        if found.missing and not default.size and size:
            where = self._where(key, found.missing[0], "Feature")
            raise _error(
                f"{where} (data type: {_type_name(dtype)}) is required but could not be found."
            )
        missing = set(found.missing)
        for index, count in enumerate(found.counts):
            if count != size and index not in missing:
                raise _error(
                    f"{self._where(key, index)}.  Number of {_type_name(dtype)} values != "
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
                raise _error(
                    f"{self._where(key, index)}.  Number of {_type_name(dtype)} values is not a "
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
        raise _error(f"Could not parse example input, value: '{shown}'") from None


def _error(message: str) -> OpError:
    return InvalidArgumentError(None, None, message)


def _check_defaults(defaults: Sequence[Any], shapes: Sequence[Shape]) -> None:
    for index, (default, shape) in enumerate(zip(defaults, shapes, strict=True)):
        assert shape is not None
        if shape and shape[0] is None:
            if default.size != 1:
                raise _error(
                    f"dense_shape[{index}] is a variable length shape: {debug_string(shape)}, "
                    f"therefore def_value[{index}] must contain a single element (the padding "
                    f"element).  But its shape is: {debug_string(default.shape)}"
                )
        elif default.size and default.shape != shape:
            raise _error(
                f"def_value[{index}].shape() == {debug_string(default.shape)} is not compatible "
                f"with dense_shapes_[{index}] == {debug_string(shape)}"
            )


def _parsed(
    batch: _Batch,
    sparse: Sequence[tuple[bytes, DType]],
    dense: Sequence[tuple[bytes, DType, Shape, Any]],
    ragged: Sequence[tuple[bytes, DType, DType]] = (),
) -> tuple[Any, ...]:
    """The outputs of a parsing op, in its order."""
    _check_defaults([d[3] for d in dense], [d[2] for d in dense])
    sparse_columns = [batch.sparse(*one) for one in sparse]
    dense_values = [batch.dense(*one) for one in dense]
    ragged_columns = [batch.ragged(*one) for one in ragged]
    return (
        *(part for parts in zip(*sparse_columns, strict=True) for part in parts),
        *dense_values,
        *(part for parts in zip(*ragged_columns, strict=True) for part in parts),
    )


@kernel("ParseExampleV2", device="CPU")
def parse_example_v2(
    xp: Any, serialized: Any, names: Any, sparse_keys: Any, dense_keys: Any, ragged_keys: Any,
    *defaults: Any, Tdense: list[DType], sparse_types: list[DType],
    ragged_value_types: list[DType], ragged_split_types: list[DType], dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Sparse indices, values and shapes; dense values; ragged values and row splits."""
    return _parsed(
        _Batch(serialized, names),
        list(zip(sparse_keys.tolist(), sparse_types, strict=True)),
        list(zip(dense_keys.tolist(), Tdense, dense_shapes, defaults, strict=True)),
        list(zip(ragged_keys.tolist(), ragged_value_types, ragged_split_types, strict=True)),
    )


@kernel("ParseExample", device="CPU")
def parse_example(
    xp: Any, serialized: Any, names: Any, *keys_and_defaults: Any, Nsparse: int, Ndense: int,
    sparse_types: list[DType], Tdense: list[DType], dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Sparse indices, values and shapes; dense values."""
    keys = [key.item() for key in keys_and_defaults[: Nsparse + Ndense]]
    defaults = keys_and_defaults[Nsparse + Ndense :]
    return _parsed(
        _Batch(serialized, names),
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
        raise _error(f"Expected serialized to be a scalar, got shape: {shape}")
    return _parsed(
        _Batch(serialized, np.empty(0, object)),
        list(zip(sparse_keys, sparse_types, strict=True)),
        list(zip(dense_keys, Tdense, dense_shapes, defaults, strict=True)),
    )
