"""Kernels of the training operations: they update variables in place."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.gather import check_indices
from tfsession.resources.variable import Variable, arrays_of, locks_of


def _check_shape(array: Any, grad: Any, name: str = "grad") -> None:
    if array.shape != grad.shape:
        raise InvalidArgumentError(
            None,
            None,
            f"var and {name} do not have the same shape"
            f"{debug_string(array.shape)} {debug_string(grad.shape)}",
        )


@kernel("ApplyGradientDescent", "ResourceApplyGradientDescent")
def apply_gradient_descent(xp: Any, var: Variable, alpha: Any, delta: Any) -> Variable:
    """var -= alpha * delta."""
    with var.lock:
        (array,) = arrays_of(var)
        _check_shape(array, delta, "delta")
        array -= alpha * delta
    return var


@kernel("ApplyMomentum", "ResourceApplyMomentum")
def apply_momentum(
    xp: Any,
    var: Variable,
    accum: Variable,
    lr: Any,
    grad: Any,
    momentum: Any,
    *,
    use_nesterov: bool,
) -> Variable:
    """accum = accum * momentum + grad; var -= lr * accum (or one step ahead, with Nesterov)."""
    first, second = locks_of(var, accum)
    with first, second:
        array, velocity = arrays_of(var, accum)
        _check_shape(array, grad)
        velocity *= momentum
        velocity += grad
        if use_nesterov:
            array -= grad * lr + velocity * (momentum * lr)
        else:
            array -= velocity * lr
    return var


@kernel("SparseApplyMomentum", "ResourceSparseApplyMomentum")
def sparse_apply_momentum(
    xp: Any,
    var: Variable,
    accum: Variable,
    lr: Any,
    grad: Any,
    indices: Any,
    momentum: Any,
    *,
    use_nesterov: bool,
) -> Variable:
    """As ApplyMomentum, on the rows at `indices`, none of which stands there twice."""
    first, second = locks_of(var, accum)
    with first, second:
        array, velocity = arrays_of(var, accum)
        check_indices(xp, indices, array.shape[0])
        rows = velocity[indices] * momentum + grad
        velocity[indices] = rows
        if use_nesterov:
            array[indices] -= grad * lr + rows * (momentum * lr)
        else:
            array[indices] -= rows * lr
    return var


@kernel("ApplyAdam", "ResourceApplyAdam")
def apply_adam(
    xp: Any,
    var: Variable,
    m: Variable,
    v: Variable,
    beta1_power: Any,
    beta2_power: Any,
    lr: Any,
    beta1: Any,
    beta2: Any,
    epsilon: Any,
    grad: Any,
    *,
    use_nesterov: bool,
) -> Variable:
    """Adam (Kingma and Ba, 2015, in the form of their section 2's last paragraph)."""
    first, second, third = locks_of(var, m, v)
    with first, second, third:
        array, mean, variance = arrays_of(var, m, v)
        _check_shape(array, grad)
        alpha = lr * xp.sqrt(1 - beta2_power) / (1 - beta1_power)
        scratch = xp.subtract(grad, mean)
        scratch = xp.multiply(scratch, 1 - beta1, out=scratch if scratch.ndim else None)
        mean += scratch
        scratch = xp.multiply(grad, grad, out=scratch if scratch.ndim else None)
        scratch -= variance
        scratch *= 1 - beta2
        variance += scratch
        scratch = xp.sqrt(variance, out=scratch if scratch.ndim else None)
        scratch += epsilon
        if use_nesterov:
            step = (grad * (1 - beta1) + mean * beta1) * alpha
            array -= step / scratch
        else:
            scratch = xp.divide(mean, scratch, out=scratch if scratch.ndim else None)
            scratch *= alpha
            array -= scratch
    return var
