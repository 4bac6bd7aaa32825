"""What a feature of an Example is parsed as: FixedLenFeature, VarLenFeature and their kin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfsession.core.dtypes import DType, as_dtype, string
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape, as_shape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.shape import reshape


@export("VarLenFeature", "io.VarLenFeature")
class VarLenFeature(NamedTuple):
    """A feature of any number of values, which gives a SparseTensor."""

    dtype: Any


@export("FixedLenFeature", "io.FixedLenFeature")
class FixedLenFeature(NamedTuple):
    """A feature of a fixed number of values, which gives a tensor.

    `default_value` stands for a feature that is missing; without one it must not be missing.
    """

    shape: Any
    dtype: Any
    default_value: Any = None


@export("FixedLenSequenceFeature", "io.FixedLenSequenceFeature")
class FixedLenSequenceFeature(NamedTuple):
    """A feature of any number of items of a fixed shape, which gives a tensor.

    In a batch, `default_value` (a zero or an empty string) fills up those that are shorter than
    the longest.
    """

    shape: Any
    dtype: Any
    allow_missing: bool = False
    default_value: Any = None


class Columns:
    """The features to parse, in the order in which parsing ops take them: sorted by name.

    Args:
        features: what each feature, by name, is parsed as; None for none.
        kinds: the classes that are allowed.

    Raises:
        ValueError: a feature is of another class, or says too little.
    """

    def __init__(self, features: Mapping[str, Any] | None, kinds: tuple[type, ...]) -> None:
        self.sparse_keys: list[str] = []
        self.sparse_types: list[DType] = []
        self.dense_keys: list[str] = []
        self.dense_types: list[DType] = []
        self.dense_shapes: list[TensorShape] = []
        # None where a missing feature stands for an empty one.
        self.defaults: dict[str, Any] = {}
        for key in sorted(features or ()):
            feature = features[key]  # type: ignore[index]
            if not isinstance(feature, kinds):
                raise ValueError(f"Unsupported {type(feature).__name__} {feature} for key '{key}'")
            self._add(key, feature)

    def _add(self, key: str, feature: Any) -> None:
        if not feature.dtype:
            end = "" if isinstance(feature, VarLenFeature) else "."
            raise ValueError(f"Missing type for feature {key}. Received feature={feature}{end}")
        if isinstance(feature, VarLenFeature):
            self.sparse_keys.append(key)
            self.sparse_types.append(as_dtype(feature.dtype))
            return
        if feature.shape is None:
            raise ValueError(f"Missing shape for feature {key}. Received feature={feature}.")
        shape = as_shape(feature.shape)
        if isinstance(feature, FixedLenFeature):
            if shape.rank and shape[0].value is None:
                raise ValueError(
                    f"First dimension of shape for feature {key} unknown. Consider using "
                    f"FixedLenSequenceFeature. Received feature={feature}."
                )
            if not shape.is_fully_defined():
                raise ValueError(
                    f"All dimensions of shape for feature {key} need to be known but received "
                    f"{feature.shape!s}."
                )
        elif feature.allow_missing:
            self.defaults[key] = None
        if feature.default_value is not None:
            self.defaults[key] = feature.default_value
        self.dense_keys.append(key)
        self.dense_types.append(as_dtype(feature.dtype))
        self.dense_shapes.append(shape)

    @property
    def count(self) -> int:
        """The number of features."""
        return len(self.sparse_keys) + len(self.dense_keys)

    def dense_defaults(self) -> list[Tensor]:
        """The default of each dense feature as a tensor; an empty one where there is none."""
        columns = zip(self.dense_keys, self.dense_shapes, self.dense_types, strict=True)
        return [self._default(*column) for column in columns]

    def _default(self, key: str, shape: TensorShape, dtype: DType) -> Tensor:
        value = self.defaults.get(key)
        name = re.sub(r"[^A-Za-z0-9_.\-/]", "_", key)
        if shape.rank and shape[0].value is None:
            if value is None:
                return convert_to_tensor("" if dtype is string else 0, dtype)
            return reshape(convert_to_tensor(value, dtype, name=f"padding_{name}"), [])
        if value is None:
            return constant([], dtype)
        if isinstance(value, Tensor):
            return value
        return reshape(convert_to_tensor(value, dtype, name=f"key_{name}"), shape)
