"""Initializers: objects that make the first value of a variable of a given shape.

A seed given to one makes it draw what TensorFlow draws. All take `(shape, dtype, partition_info)`
and can be made again from `get_config()`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype, float32
from tfsession.core.exports import export
from tfsession.graph.create import create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, ones, zeros
from tfsession.ops.decompose import qr
from tfsession.ops.diag import diag_part
from tfsession.ops.random import random_normal, random_uniform, truncated_normal
from tfsession.ops.sequence import one_hot
from tfsession.ops.shape import reshape
from tfsession.ops.transpose import matrix_transpose
from tfsession.ops.unary import sign

# The deviation of a standard normal distribution cut off at two: draws are scaled up by it.
_TRUNCATED_DEVIATION = 0.87962566103423978
_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "uniform", "truncated_normal", "untruncated_normal")


def _floating(dtype: Any) -> DType:
    found = as_dtype(dtype)
    if not found.is_floating:
        raise ValueError(f"Argument `dtype` is expected to be floating point. Received: {found}.")
    return found


def _full_shape(shape: Any, partition_info: Any) -> Any:
    """The shape of the whole variable of which `shape` is a part."""
    return shape if partition_info is None else partition_info.full_shape


class Initializer:
    """What all initializers share: they are callable, and can be written down and read back."""

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A tensor of the shape; `dtype` goes before the initializer's own."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make such an initializer, ready for JSON."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """An initializer with these arguments."""
        return cls(**config)


@export("zeros_initializer", "initializers.zeros")
class Zeros(Initializer):
    """Zeros."""

    def __init__(self, dtype: Any = float32) -> None:
        self.dtype = as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """Zeros of the shape."""
        return zeros(shape, self.dtype if dtype is None else dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"dtype": self.dtype.name}


@export("ones_initializer", "initializers.ones")
class Ones(Initializer):
    """Ones."""

    def __init__(self, dtype: Any = float32) -> None:
        self.dtype = as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """Ones of the shape."""
        return ones(shape, self.dtype if dtype is None else dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"dtype": self.dtype.name}


@export("constant_initializer", "initializers.constant")
class Constant(Initializer):
    """Fixed values: a scalar everywhere, or a list whose last value fills the rest.

    Raises:
        TypeError: `value` is no Python scalar, list, tuple or array.
    """

    def __init__(self, value: Any = 0, dtype: Any = float32, verify_shape: bool = False) -> None:
        if not (np.isscalar(value) or isinstance(value, list | tuple | np.ndarray)):
            raise TypeError(
                f"Invalid type for initial value={value} of type: {type(value).__name__}. Expected "
                "Python scalar, list or tuple of values, or numpy.ndarray."
            )
        self.value = value
        self.dtype = as_dtype(dtype)
        self._verify_shape = verify_shape

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        partition_info: Any = None,
        verify_shape: bool | None = None,
    ) -> Tensor:
        """The values in the shape; with `verify_shape`, TypeError when they have another."""
        return constant(
            self.value,
            self.dtype if dtype is None else dtype,
            shape,
            verify_shape=self._verify_shape if verify_shape is None else verify_shape,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments, without `verify_shape`."""
        return {"value": self.value, "dtype": self.dtype.name}


@export("random_uniform_initializer", "initializers.random_uniform")
class RandomUniform(Initializer):
    """Evenly spread numbers of [minval, maxval); integers where the dtype is one."""

    def __init__(
        self, minval: Any = 0.0, maxval: Any = None, seed: int | None = None, dtype: Any = float32
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed
        self.dtype = as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random tensor of the shape."""
        dtype = self.dtype if dtype is None else dtype
        return random_uniform(shape, self.minval, self.maxval, dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "minval": self.minval,
            "maxval": self.maxval,
            "seed": self.seed,
            "dtype": self.dtype.name,
        }


class _Normal(Initializer):
    def __init__(
        self, mean: Any = 0.0, stddev: Any = 1.0, seed: int | None = None, dtype: Any = float32
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed
        self.dtype = _floating(dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "mean": self.mean,
            "stddev": self.stddev,
            "seed": self.seed,
            "dtype": self.dtype.name,
        }


@export("random_normal_initializer", "initializers.random_normal")
class RandomNormal(_Normal):
    """Normally distributed numbers."""

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random tensor of the shape."""
        dtype = self.dtype if dtype is None else dtype
        return random_normal(shape, self.mean, self.stddev, dtype, seed=self.seed)


@export("truncated_normal_initializer", "initializers.truncated_normal")
class TruncatedNormal(_Normal):
    """Normally distributed numbers less than two deviations off the mean."""

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random tensor of the shape."""
        dtype = self.dtype if dtype is None else dtype
        return truncated_normal(shape, self.mean, self.stddev, dtype, seed=self.seed)


@export("uniform_unit_scaling_initializer", "initializers.uniform_unit_scaling")
class UniformUnitScaling(Initializer):
    """Evenly spread numbers that keep the scale of a layer's input, times `factor`."""

    def __init__(self, factor: float = 1.0, seed: int | None = None, dtype: Any = float32) -> None:
        self.factor = factor
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random tensor of the shape."""
        dtype = self.dtype if dtype is None else dtype
        sizes = list(_full_shape(shape, partition_info))
        inputs = max(math.prod(float(size) for size in sizes[:-1]), 1.0)
        limit = math.sqrt(3 / inputs) * self.factor
        return random_uniform(shape, -limit, limit, dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"factor": self.factor, "seed": self.seed, "dtype": self.dtype.name}


def _fans(shape: Sequence[Any]) -> tuple[int, int]:
    """How many inputs and outputs a unit has, whose weights have the shape."""
    sizes = [int(size) for size in shape]
    if not sizes:
        return 1, 1
    if len(sizes) == 1:
        return sizes[0], sizes[0]
    field = math.prod(sizes[:-2])
    return sizes[-2] * field, sizes[-1] * field


@export("variance_scaling_initializer", "initializers.variance_scaling")
class VarianceScaling(Initializer):
    """Numbers whose variance is `scale` over the number of inputs, of outputs, or their mean.

    Args:
        scale: a positive number.
        mode: "fan_in", "fan_out" or "fan_avg": what the scale is divided by.
        distribution: "truncated_normal" (or "normal"), "untruncated_normal" or "uniform".
        seed: of the draws.
        dtype: a floating type.

    Raises:
        ValueError: an argument is none of these.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        dtype: Any = float32,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be a positive float. Received: {scale}")
        if mode not in _MODES:
            raise ValueError(f"Argument `mode` should be one of {_MODES}. Received: {mode}")
        distribution = distribution.lower()
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(
                "Argument `distribution` should be one of ('normal', uniform', "
                f"'truncated_normal', 'untruncated_normal'). Received: {distribution}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random tensor of the shape."""
        dtype = self.dtype if dtype is None else dtype
        fan_in, fan_out = _fans(_full_shape(shape, partition_info))
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random_uniform(shape, -limit, limit, dtype, seed=self.seed)
        deviation = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return random_normal(shape, 0.0, deviation, dtype, seed=self.seed)
        return truncated_normal(shape, 0.0, deviation / _TRUNCATED_DEVIATION, dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "seed": self.seed,
            "dtype": self.dtype.name,
        }


@export("glorot_uniform_initializer", "initializers.glorot_uniform")
class GlorotUniform(VarianceScaling):
    """Evenly spread numbers with a variance of two over inputs and outputs; also named Xavier.

    As in TensorFlow, only the call's `dtype` counts: the constructor's is ignored.
    """

    def __init__(self, seed: int | None = None, dtype: Any = float32) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"seed": self.seed, "dtype": self.dtype.name}


@export("glorot_normal_initializer", "initializers.glorot_normal")
class GlorotNormal(VarianceScaling):
    """Truncated normal numbers with a variance of two over inputs and outputs.

    As in TensorFlow, only the call's `dtype` counts: the constructor's is ignored.
    """

    def __init__(self, seed: int | None = None, dtype: Any = float32) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"seed": self.seed, "dtype": self.dtype.name}


@export("initializers.he_normal")
def he_normal(seed: int | None = None) -> VarianceScaling:
    """Truncated normal numbers with a variance of two over the inputs."""
    return VarianceScaling(2.0, "fan_in", "truncated_normal", seed)


@export("initializers.he_uniform")
def he_uniform(seed: int | None = None) -> VarianceScaling:
    """Evenly spread numbers with a variance of two over the inputs."""
    return VarianceScaling(2.0, "fan_in", "uniform", seed)


@export("initializers.lecun_normal")
def lecun_normal(seed: int | None = None) -> VarianceScaling:
    """Truncated normal numbers with a variance of one over the inputs."""
    return VarianceScaling(1.0, "fan_in", "truncated_normal", seed)


@export("initializers.lecun_uniform")
def lecun_uniform(seed: int | None = None) -> VarianceScaling:
    """Evenly spread numbers with a variance of one over the inputs."""
    return VarianceScaling(1.0, "fan_in", "uniform", seed)


@export("initializers.identity")
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, zeros elsewhere."""

    def __init__(self, gain: float = 1.0, dtype: Any = float32) -> None:
        self.gain = gain
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """The matrix, or its part; ValueError when the shape is no matrix's."""
        dtype = as_dtype(self.dtype if dtype is None else dtype)
        full = [int(size) for size in _full_shape(shape, partition_info)]
        if len(full) != 2:
            raise ValueError(
                "The tensor to initialize, specified by argument `shape` must be at least "
                f"two-dimensional. Received shape={shape}"
            )
        rows, columns = (int(size) for size in shape)
        offset = [0, 0] if partition_info is None else list(partition_info.var_offset)
        ones_at = np.arange(offset[0], offset[0] + rows) - offset[1]
        matrix = one_hot(constant(ones_at), columns, dtype=dtype)
        gain = constant(self.gain, dtype, name="mul/x")
        result: Tensor = create_op("Mul", [gain, matrix], name="mul")
        return result

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"gain": self.gain, "dtype": self.dtype.name}


@export("orthogonal_initializer", "initializers.orthogonal")
class Orthogonal(Initializer):
    """Matrices with orthonormal rows or columns, whichever are fewer, times `gain`.

    All dimensions but the last are rows. Drawn as the `q` of a normal matrix (Saxe et al., 2014).
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None, dtype: Any = float32) -> None:
        self.gain = gain
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        """A random matrix of the shape; ValueError for a shape of less than two dimensions."""
        dtype = self.dtype if dtype is None else dtype
        sizes = [int(size) for size in _full_shape(shape, partition_info)]
        if len(sizes) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. Received: shape="
                f"{shape} of rank {len(sizes)}."
            )
        rows, columns = math.prod(sizes[:-1]), sizes[-1]
        is_wide = rows < columns
        flat = (columns, rows) if is_wide else (rows, columns)
        q, r = qr(random_normal(flat, dtype=dtype, seed=self.seed))
        # Signs of the diagonal spread the matrices evenly.
        q *= sign(diag_part(r))
        return self.gain * reshape(matrix_transpose(q) if is_wide else q, shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"gain": self.gain, "seed": self.seed, "dtype": self.dtype.name}
