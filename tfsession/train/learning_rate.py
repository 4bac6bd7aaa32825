"""Learning rates that follow the number of steps made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import int32, int64
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.case import case
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where_v2
from tfsession.ops.cond import cond
from tfsession.ops.constant import constant
from tfsession.ops.elementwise import add, divide, minimum, multiply, pow
from tfsession.ops.random import random_normal
from tfsession.ops.unary import ceil, cos, exp, floor, log, negative, sqrt


def _rate(learning_rate: Any) -> Tensor:
    return convert_to_tensor(learning_rate, name="initial_learning_rate")


@export("train.exponential_decay")
def exponential_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """`learning_rate * decay_rate ** (global_step / decay_steps)`.

    Args:
        learning_rate: the rate at step 0.
        global_step: the number of steps made.
        decay_steps: after how many steps the rate is `decay_rate` times as large.
        decay_rate: that factor.
        staircase: let the rate change only every `decay_steps`.
        name: name of the operation.
    """
    with get_default_graph().name_scope(name or "ExponentialDecay") as scope:
        rate = _rate(learning_rate)
        decay_steps, factor = cast(decay_steps, rate.dtype), cast(decay_rate, rate.dtype)
        periods = _periods(global_step, decay_steps, staircase)
        result: Tensor = multiply(rate, pow(factor, periods), name=scope)
    return result


def _periods(global_step: Any, decay_steps: Tensor, staircase: bool) -> Tensor:
    periods: Tensor = cast(global_step, decay_steps.dtype) / decay_steps
    return floor(periods) if staircase else periods


@export("train.natural_exp_decay")
def natural_exp_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """`learning_rate * exp(-decay_rate * global_step / decay_steps)`; see `exponential_decay`."""
    factor = exp(negative(decay_rate))
    return exponential_decay(learning_rate, global_step, decay_steps, factor, staircase, name)


@export("train.inverse_time_decay")
def inverse_time_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """`learning_rate / (1 + decay_rate * global_step / decay_steps)`; see `exponential_decay`."""
    with get_default_graph().name_scope(name or "InverseTimeDecay") as scope:
        rate = _rate(learning_rate)
        decay_steps, factor = cast(decay_steps, rate.dtype), cast(decay_rate, rate.dtype)
        periods = _periods(global_step, decay_steps, staircase)
        one = cast(constant(1), rate.dtype)
        result: Tensor = divide(rate, add(one, multiply(factor, periods)), name=scope)
    return result


@export("train.piecewise_constant", "train.piecewise_constant_decay")
def piecewise_constant(
    x: Any, boundaries: Sequence[Any], values: Sequence[Any], name: str | None = None
) -> Tensor:
    """`values[0]` up to and with `boundaries[0]`, then `values[1]` up to `boundaries[1]`, ....

    Args:
        x: a scalar, such as the global step.
        boundaries: rising numbers of the dtype of `x`.
        values: one more than the boundaries.
        name: name scope of the operations.

    Raises:
        ValueError: dtypes do not agree, or the numbers of boundaries and values do not.
    """
    limits = [convert_to_tensor(boundary) for boundary in boundaries]
    choices = [convert_to_tensor(value) for value in values]
    x = convert_to_tensor(x)
    for index, limit in enumerate(limits):
        if limit.dtype.base_dtype is x.dtype.base_dtype:
            continue
        if limit.dtype.base_dtype is not int32 or x.dtype.base_dtype is not int64:
            raise ValueError(
                f"Boundaries ({limit.dtype.base_dtype}) must have the same dtype as x "
                f"({x.dtype.base_dtype})."
            )
        limits[index] = cast(limit, int64)
    for value in choices[1:]:
        if value.dtype.base_dtype is not choices[0].dtype.base_dtype:
            raise ValueError(
                "Values must have elements all with the same dtype "
                f"({choices[0].dtype.base_dtype} vs {value.dtype.base_dtype})."
            )
    if len(limits) != len(choices) - 1:
        raise ValueError("The length of boundaries should be 1 less than the length of values")
    with get_default_graph().name_scope(name or "PiecewiseConstant"):
        pairs = [(x <= limits[0], _giving(choices[0])), (x > limits[-1], _giving(choices[-1]))]
        for low, high, value in zip(limits[:-1], limits[1:], choices[1:-1], strict=True):
            pairs.append(((x > low) & (x <= high), _giving(value)))
        chosen: Tensor = case(pairs, _giving(choices[0]), exclusive=True)
    return chosen


def _giving(value: Tensor) -> Callable[[], Tensor]:
    return lambda: value


@export("train.polynomial_decay")
def polynomial_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    end_learning_rate: Any = 0.0001,
    power: Any = 1.0,
    cycle: bool = False,
    name: str | None = None,
) -> Tensor:
    """From `learning_rate` down to `end_learning_rate` within `decay_steps`.

    Args:
        learning_rate: the rate at step 0.
        global_step: the number of steps made.
        decay_steps: when the end is reached.
        end_learning_rate: the rate there.
        power: of `1 - global_step / decay_steps`; 1 is a straight line.
        cycle: make the way longer by whole `decay_steps` each time the end is reached.
        name: name of the operation.
    """
    with get_default_graph().name_scope(name or "PolynomialDecay") as scope:
        rate = _rate(learning_rate)
        end, power = cast(end_learning_rate, rate.dtype), cast(power, rate.dtype)
        step, whole = cast(global_step, rate.dtype), cast(decay_steps, rate.dtype)
        if cycle:
            rounds = where_v2(equal(step, 0), 1.0, ceil(step / decay_steps))
            whole = multiply(whole, rounds)
        else:
            step = minimum(step, whole)
        done = divide(step, whole)
        result: Tensor = add(multiply(rate - end, pow(1 - done, power)), end, name=scope)
    return result


def _cosine(fraction: Tensor, factor: Any = 0.5) -> Tensor:
    """From 1 at 0 to 0 at 1."""
    result: Tensor = factor * (1.0 + cos(constant(math.pi) * fraction))
    return result


@export("train.cosine_decay")
def cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    alpha: Any = 0.0,
    name: str | None = None,
) -> Tensor:
    """Half a cosine, from `learning_rate` to `alpha` times it (Loshchilov and Hutter, 2017)."""
    with get_default_graph().name_scope(name or "CosineDecay"):
        rate = _rate(learning_rate)
        decay_steps = cast(decay_steps, rate.dtype)
        fraction = minimum(cast(global_step, rate.dtype), decay_steps) / decay_steps
        wave = _cosine(fraction)
        decayed = (1 - alpha) * wave + alpha
        result: Tensor = multiply(rate, decayed)
    return result


@export("train.cosine_decay_restarts")
def cosine_decay_restarts(
    learning_rate: Any,
    global_step: Any,
    first_decay_steps: Any,
    t_mul: Any = 2.0,
    m_mul: Any = 1.0,
    alpha: Any = 0.0,
    name: str | None = None,
) -> Tensor:
    """Half cosines one after the other, each `t_mul` as long and `m_mul` as high as the last."""
    with get_default_graph().name_scope(name or "SGDRDecay") as scope:
        rate = _rate(learning_rate)
        first, alpha = cast(first_decay_steps, rate.dtype), cast(alpha, rate.dtype)
        t_mul, m_mul = cast(t_mul, rate.dtype), cast(m_mul, rate.dtype)
        fraction = cast(global_step, rate.dtype) / first

        def even() -> tuple[Tensor, Tensor]:
            restarts = floor(fraction)
            return restarts, fraction - restarts

        def growing() -> tuple[Tensor, Tensor]:
            restarts = floor(log(1.0 - fraction * (1.0 - t_mul)) / log(t_mul))
            before = (1.0 - t_mul**restarts) / (1.0 - t_mul)
            return restarts, (fraction - before) / t_mul**restarts

        restarts, fraction_of_one = cond(equal(t_mul, 1.0), even, growing)
        wave = _cosine(fraction_of_one, 0.5 * m_mul**restarts)
        decayed = (1 - alpha) * wave + alpha
        result: Tensor = multiply(rate, decayed, name=scope)
    return result


@export("train.linear_cosine_decay")
def linear_cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    num_periods: Any = 0.5,
    alpha: Any = 0.0,
    beta: Any = 0.001,
    name: str | None = None,
) -> Tensor:
    """A falling line times a cosine of `num_periods` (Bello and others, 2017)."""
    with get_default_graph().name_scope(name or "LinearCosineDecay") as scope:
        rate = _rate(learning_rate)
        whole = cast(decay_steps, rate.dtype)
        periods = cast(num_periods, rate.dtype)
        alpha, beta = cast(alpha, rate.dtype), cast(beta, rate.dtype)
        step = minimum(cast(global_step, rate.dtype), whole)
        line = (whole - step) / whole
        done = step / whole
        wave = _cosine(2.0 * periods * done)
        result: Tensor = multiply(rate, (alpha + line) * wave + beta, name=scope)
    return result


@export("train.noisy_linear_cosine_decay")
def noisy_linear_cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    initial_variance: Any = 1.0,
    variance_decay: Any = 0.55,
    num_periods: Any = 0.5,
    alpha: Any = 0.0,
    beta: Any = 0.001,
    name: str | None = None,
) -> Tensor:
    """As `linear_cosine_decay`, with noise on the line whose variance falls."""
    with get_default_graph().name_scope(name or "NoisyLinearCosineDecay") as scope:
        rate = _rate(learning_rate)
        whole = cast(decay_steps, rate.dtype)
        initial = cast(initial_variance, rate.dtype)
        falling = cast(variance_decay, rate.dtype)
        periods = cast(num_periods, rate.dtype)
        alpha, beta = cast(alpha, rate.dtype), cast(beta, rate.dtype)
        step = minimum(cast(global_step, rate.dtype), whole)
        line = (whole - step) / whole
        deviation = sqrt(initial / pow(1.0 + step, falling))
        noisy = line + random_normal(line.shape, stddev=deviation)
        done = step / whole
        wave = _cosine(2.0 * periods * done)
        result: Tensor = multiply(rate, (alpha + noisy) * wave + beta, name=scope)
    return result
