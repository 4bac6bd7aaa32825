"""Kernels that parse serialized SequenceExamples, on the host."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.examples import Column, WrongKindError, column, sequence_features
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string
from tfsession.kernels.parse_example import (
    Batch,
    check_defaults,
    keys_of,
    refusal,
    texts_of,
    type_name,
)


class _Lists:
    """The feature lists of examples, one or several: columns whose rows are steps."""

    def __init__(
        self, lists: list[dict[bytes, list[bytes]]], names: list[bytes], is_single: bool
    ) -> None:
        self._lists = lists
        self._names = names
        self._is_single = is_single

    def __len__(self) -> int:
        return len(self._lists)

    def _where(self, example: int) -> str:
        return (
            f"Name: {self._names[example].decode(errors='replace') if self._names else '<unknown>'}"
        )

    def _steps(self, key: bytes, dtype: DType) -> tuple[Column, list[int]]:
        """The values of all steps of all examples, and how many steps each example has."""
        found = [lists.get(key, []) for lists in self._lists]
        lengths = [len(steps) for steps in found]
        try:
            return column([step for steps in found for step in steps], dtype), lengths
        except WrongKindError as error:
            example, step = _place(error.index, lengths)
            raise refusal(
                f"{self._where(example)}, Feature list: {key.decode(errors='replace')}, "
                f"Index: {step}.  Data types don't match. Expected type: {type_name(dtype)}"
            ) from None
        except ValueError:
            raise refusal(f"Could not parse the values of feature list {key!r}") from None

    def dense(self, key: bytes, dtype: DType, shape: Shape, may_lack: bool) -> tuple[Any, Any]:
        """The values, padded with zeros to the longest list, and the lengths of the lists."""
        if shape is None or None in shape:
            raise refusal(
                f"feature_list_dense_shapes[{key!r}] has unknown dimensions: {debug_string(shape)}"
            )
        name = key.decode(errors="replace")
        for example, lists in enumerate(self._lists):
            if key not in lists and not may_lack:
                raise refusal(
                    f"{self._where(example)}, Feature list '{name}' is required but could not be "
                    "found.  Did you mean to include it in "
                    "feature_list_dense_missing_assumed_empty or feature_list_dense_defaults?"
                )
        found, lengths = self._steps(key, dtype)
        size = math.prod(shape)  # type: ignore[arg-type]
        for index, count in enumerate(found.counts):
            if count != size:
                example, step = _place(index, lengths)
                raise refusal(
                    f"{self._where(example)}, Key: {name}, Index: {step}.  Number of values != "
                    f"expected.  values size: {count} but output shape: {debug_string(shape)}"
                )
        steps = found.values.reshape(-1, *shape)
        counts = np.array(lengths, np.int64)
        if self._is_single:
            return steps, counts[0]
        longest = max(lengths, default=0)
        empty = b"" if dtype.numpy.hasobject else 0
        result = np.full((len(self), longest, *shape), empty, steps.dtype)
        result[np.arange(longest) < counts[:, None]] = steps
        return result, counts

    def _flat_places(self, found: Column, lengths: list[int]) -> tuple[Any, Any, Any]:
        """Of each value the example, the step and the position in it."""
        counts, steps = np.array(found.counts, np.int64), np.array(lengths, np.int64)
        example = np.repeat(np.arange(len(self)), steps)
        step = np.arange(len(example)) - np.repeat(np.cumsum(steps) - steps, steps)
        place = np.arange(len(found.values)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(example, counts), np.repeat(step, counts), place

    def sparse(self, key: bytes, dtype: DType) -> tuple[Any, Any, Any]:
        """Indices, values and dense shape."""
        found, lengths = self._steps(key, dtype)
        places = list(self._flat_places(found, lengths))
        shape = [len(self), max(lengths, default=0), max(found.counts, default=0)]
        first = 1 if self._is_single else 0
        return np.stack(places[first:], 1), found.values, np.array(shape[first:], np.int64)

    def ragged(self, key: bytes, dtype: DType, split_dtype: DType) -> tuple[Any, Any, Any]:
        """Values, the splits of examples into steps and of steps into values."""
        found, lengths = self._steps(key, dtype)
        inner = np.cumsum([0, *found.counts]).astype(split_dtype.numpy)
        outer = np.cumsum([0, *lengths]) if not self._is_single else np.zeros(0)
        return found.values, outer.astype(split_dtype.numpy), inner


def _place(index: int, lengths: list[int]) -> tuple[int, int]:
    """The example and the step that stand at `index` of all steps."""
    for example, length in enumerate(lengths):
        if index < length:
            return example, index
        index -= length
    raise IndexError(index)


def _split(text: bytes, name: bytes) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    try:
        return sequence_features(text)
    except ValueError:
        shown = name.decode(errors="replace") or "<unknown>"
        raise refusal(f"Invalid protocol message input, example id: {shown}") from None


@kernel("ParseSequenceExampleV2", device="CPU")
def parse_sequence_example_v2(
    xp: Any, serialized: Any, debug_name: Any, context_sparse_keys: Any, context_dense_keys: Any,
    context_ragged_keys: Any, feature_list_sparse_keys: Any, feature_list_dense_keys: Any,
    feature_list_ragged_keys: Any, feature_list_dense_missing_assumed_empty: Any, *defaults: Any,
    Tcontext_dense: list[DType], context_sparse_types: list[DType],
    context_ragged_value_types: list[DType], context_ragged_split_types: list[DType],
    context_dense_shapes: list[Shape], feature_list_dense_types: list[DType],
    feature_list_sparse_types: list[DType], feature_list_ragged_value_types: list[DType],
    feature_list_ragged_split_types: list[DType], feature_list_dense_shapes: list[Shape],
) -> Any:  # fmt: skip
    """Columns of the context, and of the feature lists."""
    check_defaults(defaults, context_dense_shapes)
    texts, names = texts_of(serialized, debug_name)
    parts = [_split(*pair) for pair in zip(texts, names or [b""] * len(texts), strict=True)]
    is_single = serialized.ndim == 0
    context = Batch.of([part[0] for part in parts], names, is_single)
    lists = _Lists([part[1] for part in parts], names, is_single)

    def columns(read: Any, keys: Any, *settings: Any) -> list[Any]:
        """What `read` gives for each key: all first outputs, then all second ones, and so on."""
        found = [read(*one) for one in zip(keys_of(keys), *settings, strict=True)]
        return [part for kind in zip(*found, strict=True) for part in kind]

    return (
        *columns(context.sparse, context_sparse_keys, context_sparse_types),
        *(
            context.dense(*one)
            for one in zip(
                keys_of(context_dense_keys), Tcontext_dense, context_dense_shapes, defaults,
                strict=True,
            )
        ),
        *columns(
            context.ragged, context_ragged_keys, context_ragged_value_types,
            context_ragged_split_types,
        ),
        *columns(lists.sparse, feature_list_sparse_keys, feature_list_sparse_types),
        *columns(
            lists.dense, feature_list_dense_keys, feature_list_dense_types,
            feature_list_dense_shapes, keys_of(feature_list_dense_missing_assumed_empty),
        ),
        *columns(
            lists.ragged, feature_list_ragged_keys, feature_list_ragged_value_types,
            feature_list_ragged_split_types,
        ),
    )  # fmt: skip
