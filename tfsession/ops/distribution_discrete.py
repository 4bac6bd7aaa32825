"""Distributions of whole numbers: Bernoulli and Categorical."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import as_dtype, int32, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import greater, less
from tfsession.ops.constant import constant, identity, ones_like
from tfsession.ops.cross_entropy import (
    sigmoid_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
)
from tfsession.ops.distribution import NOT_REPARAMETERIZED, Distribution, RegisterKL
from tfsession.ops.nn import log_softmax, softmax, softplus
from tfsession.ops.random import multinomial, random_uniform
from tfsession.ops.reduce import argmax, reduce_sum
from tfsession.ops.shape import expand_dims, rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.transpose import transpose
from tfsession.ops.unary import log, log1p, sigmoid


class _Logits(Distribution):
    """What the two share: logits or probabilities, of which one is given."""

    _logits: Tensor
    _probs: Tensor

    def _hold(self, logits: Any, probs: Any, is_vector: bool, options: dict[str, Any]) -> None:
        if (logits is None) == (probs is None):
            raise ValueError("Must pass probs or logits, but not both.")
        graph = graph_of([logits, probs])
        with graph.as_default(), graph.name_scope(options["name"]) as scope:
            if logits is not None:
                self._logits = convert_to_tensor(logits, name="logits")
                make = softmax if is_vector else sigmoid
                self._probs = make(self._logits, name="probs")
            else:
                self._probs = convert_to_tensor(probs, name="probs")
                if is_vector:
                    self._logits = log(self._probs, name="logits")
                else:
                    with graph.name_scope("logits"):
                        self._logits = log(self._probs) - log1p(-1.0 * self._probs)
            if is_vector:
                self._ask_shape()
        super().__init__(
            as_dtype(options["dtype"]),
            NOT_REPARAMETERIZED,
            options["validate_args"],
            options["allow_nan_stats"],
            {"logits": logits, "probs": probs, **options},
            [self._logits, self._probs],
            scope,
        )

    def _ask_shape(self) -> None:
        """Nothing to ask for a scalar's."""

    @property
    def logits(self) -> Tensor:
        """The logits."""
        return self._logits

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._probs


@export("distributions.Bernoulli", "contrib.distributions.Bernoulli")
class Bernoulli(_Logits):
    """One with some probability, else zero.

    Args:
        logits: logarithms of the odds; or
        probs: probabilities of a one.
        dtype: dtype of the samples.
        validate_args: kept; nothing is checked.
        allow_nan_stats: kept.
        name: name scope of the operations.

    Raises:
        ValueError: both logits and probs are given, or none.
    """

    def __init__(
        self,
        logits: Any = None,
        probs: Any = None,
        dtype: Any = int32,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "Bernoulli",
    ) -> None:
        options = {"dtype": dtype, "validate_args": validate_args}
        self._hold(
            logits, probs, False, options | {"allow_nan_stats": allow_nan_stats, "name": name}
        )

    @property
    def batch_shape(self) -> TensorShape:
        """The static shape of the logits."""
        return self._logits.shape

    def _batch_shape_tensor(self) -> Tensor:
        return shape_of(self._logits)

    def _sample_n(self, count: Any, seed: int | None) -> Tensor:
        draws = random_uniform(self._full_shape(count), dtype=self._probs.dtype, seed=seed)
        return cast(less(draws, self._probs), self.dtype)

    def _log_prob(self, value: Tensor) -> Tensor:
        event, logits = cast(value, self._logits.dtype), self._logits
        if event._shape is None or event._shape != logits._shape:
            logits = ones_like(event) * logits
            event = ones_like(logits) * event
        return -sigmoid_cross_entropy_with_logits(labels=event, logits=logits)

    def _entropy(self) -> Tensor:
        return -self._logits * (sigmoid(self._logits) - 1.0) + softplus(-self._logits)

    def _mean(self) -> Tensor:
        return identity(self._probs)

    def _variance(self) -> Tensor:
        return self._mean() * (1.0 - self._probs)

    def _mode(self) -> Tensor:
        return cast(greater(self._probs, 0.5), self.dtype)


@RegisterKL(Bernoulli, Bernoulli)
def _bernoulli_divergence(a: Bernoulli, b: Bernoulli, name: str | None = None) -> Tensor:
    graph = graph_of([a.logits, b.logits])
    with graph.as_default(), graph.name_scope(name or "kl_bernoulli_bernoulli"):
        of_zero = softplus(-b.logits) - softplus(-a.logits)
        of_one = softplus(b.logits) - softplus(a.logits)
        return sigmoid(a.logits) * of_zero + sigmoid(-a.logits) * of_one


@export("distributions.Categorical", "contrib.distributions.Categorical")
class Categorical(_Logits):
    """One of some classes; the last dimension of `logits` or `probs` is that of the classes.

    The other arguments are those of Bernoulli.
    """

    def __init__(
        self,
        logits: Any = None,
        probs: Any = None,
        dtype: Any = int32,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "Categorical",
    ) -> None:
        options = {"dtype": dtype, "validate_args": validate_args}
        self._hold(
            logits, probs, True, options | {"allow_nan_stats": allow_nan_stats, "name": name}
        )

    def _ask_shape(self) -> None:
        static = self._logits.shape.with_rank_at_least(1)
        known = static.rank is not None
        graph = self._logits.graph
        if known:
            self._batch_rank = convert_to_tensor(static.rank - 1, int32, "batch_rank")
        else:
            with graph.name_scope("batch_rank"):
                self._batch_rank = rank(self._logits) - 1
        sizes = shape_of(self._logits, name="logits_shape")
        if known and static[-1].value is not None:
            self._event_size = convert_to_tensor(static[-1].value, int32, "event_size")
        else:
            with graph.name_scope("event_size"):
                self._event_size = sizes[self._batch_rank]
        if static[:-1].is_fully_defined():
            self._batch_sizes = constant(static[:-1].as_list(), int32, name="batch_shape")
        else:
            with graph.name_scope("batch_shape"):
                self._batch_sizes = sizes[:-1]

    @property
    def event_size(self) -> Tensor:
        """The number of classes, as an int32 scalar."""
        return self._event_size

    @property
    def batch_shape(self) -> TensorShape:
        """The static shape of the logits without the classes."""
        return self._logits.shape[:-1]

    def _batch_shape_tensor(self) -> Tensor:
        return identity(self._batch_sizes)

    def _sample_n(self, count: Any, seed: int | None) -> Tensor:
        logits = self._logits
        if logits.shape.rank != 2:
            logits = reshape(logits, [-1, self._event_size])
        kind = int64 if self.dtype.size > 4 else int32
        draws = transpose(multinomial(logits, count, seed=seed, output_dtype=kind))
        return cast(reshape(draws, self._full_shape(count)), self.dtype)

    def _log_prob(self, value: Tensor) -> Tensor:
        logits = self._logits
        shape = logits._shape
        if shape is None or value._shape is None or shape[:-1] != value._shape:
            logits = logits * ones_like(expand_dims(value, -1), dtype=logits.dtype)
            value = value * ones_like(logits[..., 0], dtype=value.dtype)
        return -sparse_softmax_cross_entropy_with_logits(labels=value, logits=logits)

    def _entropy(self) -> Tensor:
        return -reduce_sum(log_softmax(self._logits) * self._probs, -1)

    def _mode(self) -> Tensor:
        return cast(argmax(self._logits, self._batch_rank), self.dtype)


@RegisterKL(Categorical, Categorical)
def _categorical_divergence(a: Categorical, b: Categorical, name: str | None = None) -> Tensor:
    graph = graph_of([a.logits, b.logits])
    with graph.as_default(), graph.name_scope(name or "kl_categorical_categorical"):
        apart = log_softmax(a.logits) - log_softmax(b.logits)
        return reduce_sum(softmax(a.logits) * apart, -1)
