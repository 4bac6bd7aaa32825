"""Probability distributions: what `tf.distributions` has in common, and Normal and Uniform.

A distribution holds tensors of parameters, the shape of which is its batch shape. Its methods add
operations in a scope below its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from tfsession.core.dtypes import DType, float64, int32
from tfsession.core.exports import export, export_value
from tfsession.core.shape import TensorShape, broadcast
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import (
    greater,
    greater_equal,
    less,
    logical_or,
    where_v2,
)
from tfsession.ops.constant import constant, identity, ones, ones_like, zeros_like
from tfsession.ops.elementwise import maximum, minimum, squared_difference
from tfsession.ops.join import concat
from tfsession.ops.random import random_normal, random_uniform
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.shape import broadcast_dynamic_shape, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.special import erf, erfc
from tfsession.ops.unary import abs, exp, is_nan, log, sqrt, square


@export("distributions.ReparameterizationType")
class ReparameterizationType:
    """Whether gradients flow through samples to the parameters; compared by identity."""

    def __init__(self, rep_type: str) -> None:
        self._rep_type = rep_type

    def __repr__(self) -> str:
        return f"<Reparameterization Type: {self._rep_type}>"


FULLY_REPARAMETERIZED = ReparameterizationType("FULLY_REPARAMETERIZED")
NOT_REPARAMETERIZED = ReparameterizationType("NOT_REPARAMETERIZED")
export_value(FULLY_REPARAMETERIZED, "distributions.FULLY_REPARAMETERIZED")
export_value(NOT_REPARAMETERIZED, "distributions.NOT_REPARAMETERIZED")

_divergences: dict[tuple[type, type], Callable[..., Tensor]] = {}


@export("distributions.RegisterKL")
class RegisterKL:
    """A decorator: the function computes the divergence between two kinds of distributions.

    It is called with two distributions and `name=`. Kinds that derive from these are taken, too.

    Raises:
        TypeError: what is decorated is no function.
        ValueError: the two kinds have a function already.
    """

    def __init__(self, dist_cls_a: type, dist_cls_b: type) -> None:
        self._key = (dist_cls_a, dist_cls_b)

    def __call__(self, kl_fn: Any) -> Any:
        """Register the function."""
        if not callable(kl_fn):
            raise TypeError(f"kl_fn must be callable, received: {kl_fn}")
        if self._key in _divergences:
            names = ", ".join(kind.__name__ for kind in self._key)
            raise ValueError(
                f"KL({names}) has already been registered to: {_divergences[self._key]}"
            )
        _divergences[self._key] = kl_fn
        return kl_fn


@export("distributions.kl_divergence", "contrib.distributions.kl_divergence")
def kl_divergence(
    distribution_a: Any, distribution_b: Any, allow_nan_stats: bool = True, name: str | None = None
) -> Tensor:
    """The Kullback-Leibler divergence from one distribution to another, for each of the batch.

    Raises:
        NotImplementedError: nobody has registered it for the two kinds.
    """
    kinds = (type(distribution_a), type(distribution_b))
    for first in kinds[0].__mro__:
        for second in kinds[1].__mro__:
            if (first, second) in _divergences:
                graph = graph_of([distribution_a._some_tensor(), distribution_b._some_tensor()])
                with graph.as_default(), graph.name_scope("KullbackLeibler"):
                    return _divergences[first, second](distribution_a, distribution_b, name=name)
    raise NotImplementedError(
        "No KL(distribution_a || distribution_b) registered for distribution_a type "
        f"{kinds[0].__name__} and distribution_b type {kinds[1].__name__}"
    )


@export("distributions.Distribution")
class Distribution:
    """What all distributions have.

    A subclass fills in `_log_prob`, `_sample_n` and such of `_mean`, `_stddev`, `_variance`,
    `_mode`, `_entropy`, `_cdf`, `_log_cdf` as it has; what is missing raises NotImplementedError.
    """

    def __init__(
        self,
        dtype: DType,
        reparameterization_type: ReparameterizationType,
        validate_args: bool,
        allow_nan_stats: bool,
        parameters: dict[str, Any] | None = None,
        graph_parents: list[Tensor] | None = None,
        name: str | None = None,
    ) -> None:
        self._dtype = dtype
        self._kind = reparameterization_type
        self._validate_args = validate_args
        self._allow_nan_stats = allow_nan_stats
        self._parameters = dict(parameters or {})
        self._graph_parents = list(graph_parents or ())
        self._name = name or f"{type(self).__name__}/"

    @property
    def name(self) -> str:
        """The scope of its operations, with a slash at the end."""
        return self._name

    @property
    def dtype(self) -> DType:
        """The dtype of samples."""
        return self._dtype

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments that it was made of."""
        return dict(self._parameters)

    @property
    def reparameterization_type(self) -> ReparameterizationType:
        """Whether gradients flow through samples."""
        return self._kind

    @property
    def allow_nan_stats(self) -> bool:
        """Kept as it was given."""
        return self._allow_nan_stats

    @property
    def validate_args(self) -> bool:
        """Kept as it was given."""
        return self._validate_args

    @property
    def batch_shape(self) -> TensorShape:
        """The static shape of the parameters together."""
        raise NotImplementedError

    @property
    def event_shape(self) -> TensorShape:
        """The static shape of one draw: a scalar's, here."""
        return TensorShape([])

    def _some_tensor(self) -> Tensor:
        return self._graph_parents[0]

    @contextmanager
    def _scope(self, name: str, values: Any = ()) -> Iterator[str]:
        graph = graph_of([self._some_tensor(), *values])
        with graph.as_default(), graph.name_scope(self._name), graph.name_scope(name) as scope:
            yield scope

    def batch_shape_tensor(self, name: str = "batch_shape_tensor") -> Tensor:
        """The shape of the parameters together, as an int32 vector."""
        with self._scope(name):
            if self.batch_shape.is_fully_defined():
                return constant(self.batch_shape.as_list(), int32, name="batch_shape")
            return self._batch_shape_tensor()

    def event_shape_tensor(self, name: str = "event_shape_tensor") -> Tensor:
        """The shape of one draw, as an int32 vector."""
        with self._scope(name):
            return constant(self.event_shape.as_list(), int32, name="event_shape")

    def is_scalar_batch(self, name: str = "is_scalar_batch") -> Tensor:
        """Whether there is one distribution, not a batch, as a bool scalar."""
        with self._scope(name):
            if self.batch_shape.rank is not None:
                return constant(self.batch_shape.rank == 0, name="is_scalar_batch")
            return shape_of(self.batch_shape_tensor())[0] < 1

    def is_scalar_event(self, name: str = "is_scalar_event") -> Tensor:
        """Whether one draw is a scalar, as a bool scalar."""
        with self._scope(name):
            return constant(self.event_shape.rank == 0, name="is_scalar_event")

    def copy(self, **override_parameters_kwargs: Any) -> Any:
        """A distribution of the same arguments but those that are given."""
        return type(self)(**(self._parameters | override_parameters_kwargs))

    def sample(
        self, sample_shape: Any = (), seed: int | None = None, name: str = "sample"
    ) -> Tensor:
        """Draws: a tensor of `sample_shape`, followed by the batch shape and the event shape."""
        with self._scope(name, [sample_shape]):
            wanted = convert_to_tensor(sample_shape, int32, "sample_shape")
            known = constant_value(wanted)
            count: Any
            if known is None:
                wanted = reshape(wanted, [-1]) if wanted.shape.rank != 1 else wanted
                count = reduce_prod(wanted)
            else:
                count = np.prod(known, dtype=np.int32)
                if known.ndim == 0:
                    wanted = constant(known.reshape(1), name="sample_shape")
            draws = self._sample_n(count, seed)
            rest = shape_of(draws)[1:]
            result = reshape(draws, concat([wanted, rest], 0))
            if known is not None:
                result.set_shape(
                    TensorShape(known.reshape(-1).tolist()).concatenate(draws.shape[1:])
                )
            return result

    def _full_shape(self, count: Any) -> Tensor:
        batch = self.batch_shape_tensor()
        return concat([[count], batch], 0)

    def _value(self, value: Any) -> Tensor:
        return convert_to_tensor(value, dtype_hint=self.dtype, name="value")

    def log_prob(self, value: Any, name: str = "log_prob") -> Tensor:
        """The logarithm of the probability (density) of `value`."""
        with self._scope(name, [value]):
            return self._log_prob(self._value(value))

    def prob(self, value: Any, name: str = "prob") -> Tensor:
        """The probability (density) of `value`."""
        with self._scope(name, [value]):
            return self._prob(self._value(value))

    def cdf(self, value: Any, name: str = "cdf") -> Tensor:
        """The probability of what is not above `value`."""
        with self._scope(name, [value]):
            return self._cdf(self._value(value))

    def log_cdf(self, value: Any, name: str = "log_cdf") -> Tensor:
        """The logarithm of the probability of what is not above `value`."""
        with self._scope(name, [value]):
            return self._log_cdf(self._value(value))

    def survival_function(self, value: Any, name: str = "survival_function") -> Tensor:
        """The probability of what is above `value`."""
        with self._scope(name, [value]):
            return 1.0 - self._cdf(self._value(value))

    def mean(self, name: str = "mean") -> Tensor:
        """The mean."""
        with self._scope(name):
            return self._mean()

    def stddev(self, name: str = "stddev") -> Tensor:
        """The standard deviation."""
        with self._scope(name):
            return self._stddev()

    def variance(self, name: str = "variance") -> Tensor:
        """The square of the standard deviation."""
        with self._scope(name):
            return self._variance()

    def mode(self, name: str = "mode") -> Tensor:
        """What is likeliest."""
        with self._scope(name):
            return self._mode()

    def entropy(self, name: str = "entropy") -> Tensor:
        """The entropy, in nats."""
        with self._scope(name):
            return self._entropy()

    def kl_divergence(self, other: Any, name: str = "kl_divergence") -> Tensor:
        """The Kullback-Leibler divergence to another distribution, in nats."""
        with self._scope(name):
            return kl_divergence(self, other, self._allow_nan_stats)

    def cross_entropy(self, other: Any, name: str = "cross_entropy") -> Tensor:
        """The entropy and the divergence to another distribution together, in nats."""
        with self._scope(name):
            entropy = self.entropy()
            with entropy.graph.name_scope("cross_entropy"):
                return entropy + kl_divergence(self, other, self._allow_nan_stats)

    def _missing(self, what: str) -> NoReturn:
        raise NotImplementedError(f"{what} is not implemented: {type(self).__name__}")

    def _batch_shape_tensor(self) -> Tensor:
        self._missing("batch_shape_tensor")

    def _sample_n(self, count: Any, seed: int | None) -> Tensor:
        self._missing("sample_n")

    def _log_prob(self, value: Tensor) -> Tensor:
        self._missing("log_prob")

    def _prob(self, value: Tensor) -> Tensor:
        return exp(self._log_prob(value))

    def _cdf(self, value: Tensor) -> Tensor:
        self._missing("cdf")

    def _log_cdf(self, value: Tensor) -> Tensor:
        return log(self._cdf(value))

    def _mean(self) -> Tensor:
        self._missing("mean")

    def _stddev(self) -> Tensor:
        if type(self)._variance is Distribution._variance:
            self._missing("stddev")
        return sqrt(self._variance())

    def _variance(self) -> Tensor:
        if type(self)._stddev is Distribution._stddev:
            self._missing("variance")
        return square(self._stddev())

    def _mode(self) -> Tensor:
        self._missing("mode")

    def _entropy(self) -> Tensor:
        self._missing("entropy")

    def _texts(self) -> list[str]:
        shapes = {"batch_shape": self.batch_shape, "event_shape": self.event_shape}
        return [f"{name}={value}" for name, value in (shapes | {"dtype": self.dtype.name}).items()]

    def __str__(self) -> str:
        texts = ", ".join(self._texts())
        return f'tfp.distributions.{type(self).__name__}("{self.name}", {texts})'

    def __repr__(self) -> str:
        texts = " ".join(self._texts())
        return f"<tfp.distributions.{type(self).__name__} '{self.name}' {texts}>"


class _TwoParameters(Distribution):
    """What Normal and Uniform share: two tensors that broadcast."""

    _first: Tensor
    _second: Tensor

    def _hold(self, first: tuple[str, Any], second: tuple[str, Any], options: Any) -> None:
        name = options["name"]
        parents = [first[1], second[1]]
        with graph_of(parents).as_default() as graph, graph.name_scope(name) as scope:
            self._first = identity(first[1], name=first[0])
            self._second = identity(second[1], name=second[0])
        if self._first.dtype.base_dtype != self._second.dtype.base_dtype:
            raise TypeError(
                f"Tensor conversion requested dtype {self._first.dtype.name} for Tensor with dtype "
                f"{self._second.dtype.name}: {second[0]}"
            )
        Distribution.__init__(
            self,
            self._first.dtype.base_dtype,
            FULLY_REPARAMETERIZED,
            options["validate_args"],
            options["allow_nan_stats"],
            {first[0]: first[1], second[0]: second[1], **options},
            [self._first, self._second],
            scope,
        )

    @property
    def batch_shape(self) -> TensorShape:
        """The static shape to which the parameters broadcast."""
        return TensorShape(broadcast(self._first._shape, self._second._shape))

    def _batch_shape_tensor(self) -> Tensor:
        return broadcast_dynamic_shape(shape_of(self._first), shape_of(self._second))


@export("distributions.Normal", "contrib.distributions.Normal")
class Normal(_TwoParameters):
    """The normal distribution of mean `loc` and standard deviation `scale`.

    Args:
        loc: means, a floating tensor.
        scale: standard deviations, of the same dtype; the two broadcast.
        validate_args: kept; nothing is checked.
        allow_nan_stats: kept.
        name: name scope of the operations.
    """

    def __init__(
        self,
        loc: Any,
        scale: Any,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "Normal",
    ) -> None:
        options = {"validate_args": validate_args, "allow_nan_stats": allow_nan_stats, "name": name}
        self._hold(("loc", loc), ("scale", scale), options)

    @property
    def loc(self) -> Tensor:
        """The means."""
        return self._first

    @property
    def scale(self) -> Tensor:
        """The standard deviations."""
        return self._second

    def _sample_n(self, count: Any, seed: int | None) -> Tensor:
        sizes = self._full_shape(count)
        return random_normal(sizes, 0.0, 1.0, self.dtype, seed) * self.scale + self.loc

    def _standardized(self, x: Tensor) -> Tensor:
        with self.loc.graph.name_scope("standardize"):
            return (x - self.loc) / self.scale

    def _log_prob(self, value: Tensor) -> Tensor:
        size = -0.5 * square(self._standardized(value))
        return size - (0.5 * math.log(2.0 * math.pi) + log(self.scale))

    def _cdf(self, value: Tensor) -> Tensor:
        return _normal_cdf(self._standardized(value))

    def _log_cdf(self, value: Tensor) -> Tensor:
        return _log_normal_cdf(self._standardized(value))

    def _mean(self) -> Tensor:
        return self.loc * ones_like(self.scale)

    def _stddev(self) -> Tensor:
        return self.scale * ones_like(self.loc)

    def _mode(self) -> Tensor:
        return self._mean()

    def _entropy(self) -> Tensor:
        scale = self.scale * ones_like(self.loc)
        return 0.5 + 0.5 * math.log(2.0 * math.pi) + log(scale)


def _normal_cdf(x: Tensor) -> Tensor:
    """By erf about the middle, by erfc in the tails."""
    with x.graph.name_scope("ndtr"):
        limit = constant(0.5 * math.sqrt(2.0), x.dtype, name="half_sqrt_2")
        w = x * limit
        z = abs(w)
        middle = less(z, limit), 1.0 + erf(w)
        return 0.5 * where_v2(*middle, where_v2(greater(w, 0.0), 2.0 - erfc(z), erfc(z)))


def _log_normal_cdf(x: Tensor) -> Tensor:
    """By the distribution in the middle, and by series in the tails."""
    with x.graph.name_scope("log_ndtr"):
        lower, upper = (-20.0, 8.0) if x.dtype.base_dtype is float64 else (-10.0, 5.0)
        far = minimum(x, lower)
        squared = square(far)
        # The first terms of the asymptotic series.
        series = 1.0 - 1.0 / squared + 3.0 / square(squared) - 15.0 / (squared * square(squared))
        tail = -0.5 * squared - log(-far) - 0.5 * math.log(2.0 * math.pi) + log(series)
        middle = log(_normal_cdf(maximum(x, lower)))
        low = where_v2(greater(x, lower), middle, tail)
        return where_v2(greater(x, upper), -_normal_cdf(-x), low)


@RegisterKL(Normal, Normal)
def _normal_divergence(a: Normal, b: Normal, name: str | None = None) -> Tensor:
    graph = graph_of([a.loc, b.loc])
    with graph.as_default(), graph.name_scope(name or "kl_normal_normal"):
        one, two, half = (constant(number, a.dtype) for number in (1.0, 2.0, 0.5))
        variances = square(a.scale), square(b.scale)
        ratio = variances[0] / variances[1]
        apart = squared_difference(a.loc, b.loc) / (two * variances[1])
        return apart + half * (ratio - one - log(ratio))


@export("distributions.Uniform", "contrib.distributions.Uniform")
class Uniform(_TwoParameters):
    """The uniform distribution of `[low, high)`; arguments are as those of Normal."""

    def __init__(
        self,
        low: Any = 0.0,
        high: Any = 1.0,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "Uniform",
    ) -> None:
        options = {"validate_args": validate_args, "allow_nan_stats": allow_nan_stats, "name": name}
        self._hold(("low", low), ("high", high), options)

    @property
    def low(self) -> Tensor:
        """The lower ends."""
        return self._first

    @property
    def high(self) -> Tensor:
        """The upper ends."""
        return self._second

    def range(self, name: str = "range") -> Tensor:
        """The lengths."""
        with self._scope(name):
            return self.high - self.low

    def _sample_n(self, count: Any, seed: int | None) -> Tensor:
        sizes = self._full_shape(count)
        draws = random_uniform(sizes, dtype=self.dtype, seed=seed)
        return self.low + self.range() * draws

    def _prob(self, value: Tensor) -> Tensor:
        x = value * ones(self.batch_shape_tensor(), value.dtype)
        no_number = is_nan(x)
        outside = logical_or(less(x, self.low), greater_equal(x, self.high))
        return where_v2(no_number, x, where_v2(outside, zeros_like(x), ones_like(x) / self.range()))

    def _log_prob(self, value: Tensor) -> Tensor:
        return log(self._prob(value))

    def _cdf(self, value: Tensor) -> Tensor:
        part = (value - self.low) / self.range()
        return minimum(maximum(part, 0.0), 1.0)

    def _mean(self) -> Tensor:
        return (self.low + self.high) / 2.0

    def _variance(self) -> Tensor:
        return square(self.range()) / 12.0

    def _stddev(self) -> Tensor:
        return self.range() / math.sqrt(12.0)

    def _entropy(self) -> Tensor:
        return log(self.range())
