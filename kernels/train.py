"""Kernels of the training operations: they update variables in place.

A formula stands once, and is computed on whole arrays or on rows of them, large ones in blocks on
all cores. Its terms are in the order that gives TensorFlow's bits on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.devices.threads import block_rows, run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.cuda.update import Update, updated_together
from tfsession.kernels.cuda.update_rows import rows_updated
from tfsession.kernels.gather import check_indices
from tfsession.kernels.segment_sums import put_rows, rounds_of
from tfsession.kernels.train_library import updated
from tfsession.resources.variable import Variable, arrays_of, locks_of

# A formula: `f(xp, spare, *arrays, grad, **scalars)`; `spare(n)` gives n arrays to compute in.
Step = Callable[..., None]

# Bytes of each array in a block. Formulas are many short loops over little memory, so that threads
# that work on smaller blocks would wait for each other between them.
_BLOCK_BYTES = 1 << 20
# Smaller arrays are made as fast as they are taken from a workspace.
_LEAST_BYTES = 1 << 16


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _check_shapes(names: Sequence[str], arrays: Sequence[Any]) -> None:
    first = arrays[0].shape
    for name, array in zip(names, arrays, strict=True):
        if array.shape != first:
            raise _refuse(
                f"var and {name} do not have the same shape"
                f"{debug_string(first)} {debug_string(array.shape)}"
            )


def _check_rows(array: Any, grad: Any, indices: Any) -> None:
    if array.ndim < 1:
        raise _refuse("var must be at least 1 dimensional")
    if indices.ndim != 1:
        raise _refuse("indices must be one-dimensional")
    if grad.shape != (indices.size, *array.shape[1:]):
        raise _refuse(
            "grad must be the same size as indices in the first dimension, and as var in the "
            f"others: {debug_string(grad.shape)}, with {indices.size} indices into "
            f"{debug_string(array.shape)}"
        )


def _in_blocks(xp: Any, rows: int, row_bytes: int, task: Callable[[int, int], None]) -> None:
    if rows * row_bytes <= _BLOCK_BYTES:
        task(0, rows)
    else:
        run_blocks(xp, rows, block_rows(row_bytes, _BLOCK_BYTES), task)


def _compute(step: Step, xp: Any, arrays: Sequence[Any], scalars: dict[str, Any]) -> None:
    """A step; its `spare(count)` gives so many arrays like the first, for as long as it runs."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    if arrays[0].nbytes < _LEAST_BYTES:
        step(xp, lambda count: [xp.empty(shape, dtype) for _ in range(count)], *arrays, **scalars)
        return
    with Workspace(xp) as take:
        step(xp, lambda count: [take(shape, dtype) for _ in range(count)], *arrays, **scalars)


def update_by_steps(xp: Any, step: Step, arrays: Sequence[Any], scalars: dict[str, Any]) -> None:
    """Update whole arrays, a part of the formula after another."""
    first = arrays[0]
    if first.ndim and first.nbytes <= _BLOCK_BYTES:
        _compute(step, xp, arrays, scalars)
        return
    vectors = [array.reshape(-1) for array in arrays]

    def task(start: int, stop: int) -> None:
        parts = [vector[start:stop] for vector in vectors]
        _compute(step, xp, parts, scalars)

    _in_blocks(xp, first.size, first.itemsize, task)


class _Training:
    """A formula as kernels: `f(xp, *arrays, grad, **scalars)` changes arrays, or rows, in place."""

    def __init__(self, states: str, inputs: str, step: Step, on_rows: Step | None) -> None:
        self.states = states.split()
        self.names = inputs.split()
        self.dense_names = [name for name in self.names if name != "indices"]
        self.grad = "delta" if "delta" in self.names else "grad"
        self.dense_arrays = [*self.states, self.grad]
        self.step = step
        self.on_rows = on_rows or step

    def __call__(self, xp: Any, *inputs: Any, is_padded: bool = False, **attrs: Any) -> Variable:
        """Update; where rows `is_padded` each that is in range comes once."""
        count = len(self.states)
        states, others = inputs[:count], inputs[count:]
        names = self.names if len(others) == len(self.names) else self.dense_names
        # Between NumPy's scalars arithmetic takes a fifth of the time that it takes in arrays.
        attrs |= {
            name: value if value.ndim else value[()]
            for name, value in zip(names, others, strict=True)
        }
        self._lock(locks_of(*states), xp, states, attrs, is_padded)
        return states[0]

    def _lock(
        self,
        locks: Sequence[Any],
        xp: Any,
        states: Sequence[Variable],
        values: dict[str, Any],
        is_padded: bool,
    ) -> None:
        """Update with the locks held."""
        if locks:
            with locks[0]:
                self._lock(locks[1:], xp, states, values, is_padded)
            return
        arrays = arrays_of(*states)
        grad, indices = values.pop(self.grad), values.pop("indices", None)
        if indices is None:
            arrays.append(grad)
            _check_shapes(self.dense_arrays, arrays)
            self._update(xp, arrays, values)
            return
        _check_shapes(self.states, arrays)
        _check_rows(arrays[0], grad, indices)
        update = Update(self.on_rows, [*arrays, grad], values)
        by_rows = _update_without_strays
        if xp is np:
            check_indices(xp, indices, arrays[0].shape[0])
            _update_rows(xp, *update[:2], indices, values)
        elif not rows_updated(xp, update, indices, by_rows, are_distinct=is_padded):
            by_rows(xp, *update[:2], indices, values)

    def _update(self, xp: Any, arrays: Sequence[Any], scalars: dict[str, Any]) -> None:
        if xp is np:
            is_made = updated(self.step, arrays, scalars)
        else:
            is_made = not updated_together(xp, [Update(self.step, arrays, scalars)])
        if not is_made:
            update_by_steps(xp, self.step, arrays, scalars)


def _update_rows(
    xp: Any, formula: Step, arrays: Sequence[Any], rows: Any, scalars: dict[str, Any]
) -> None:
    """Update rows that are in range, one that comes several times as often."""
    states, grad = arrays[:-1], arrays[-1]
    for places in rounds_of(xp, rows, len(states[0])):
        _update_distinct(xp, formula, [*states, grad[places]], rows[places], scalars)


def _update_without_strays(
    xp: Any, formula: Step, arrays: Sequence[Any], rows: Any, scalars: dict[str, Any]
) -> None:
    """Update rows, those that are in range."""
    kept = (rows >= 0) & (rows < len(arrays[0]))
    _update_rows(xp, formula, [*arrays[:-1], arrays[-1][kept]], rows[kept], scalars)


def _update_distinct(
    xp: Any, formula: Step, arrays: Sequence[Any], rows: Any, scalars: dict[str, Any]
) -> None:
    """Update rows that differ from each other."""
    states, grad = arrays[:-1], arrays[-1]

    def task(start: int, stop: int) -> None:
        here = rows[start:stop]
        taken = [xp.take(array, here, 0) for array in states]
        _compute(formula, xp, [*taken, grad[start:stop]], scalars)
        for array, changed in zip(states, taken, strict=True):
            put_rows(xp, array, here, changed)

    row_bytes = math.prod(grad.shape[1:]) * grad.dtype.itemsize
    _in_blocks(xp, rows.size, row_bytes, task)


def _taking(attr: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes an attribute of this name, or none."""
    runs: dict[str, Callable[..., Any]] = {
        "": lambda xp, *inputs: run(xp, *inputs),
        "use_nesterov": lambda xp, *inputs, use_nesterov: run(
            xp, *inputs, use_nesterov=use_nesterov
        ),
        "update_slots": lambda xp, *inputs, update_slots: run(
            xp, *inputs, update_slots=update_slots
        ),
        "multiply_linear_by_lr": lambda xp, *inputs, multiply_linear_by_lr: run(
            xp, *inputs, multiply_linear_by_lr=multiply_linear_by_lr
        ),
    }
    return runs[attr]


def _trains(
    name: str,
    states: str,
    inputs: str,
    *,
    attr: str = "",
    host: Sequence[str] = (),
    on_rows: Step | None = None,
) -> Callable[[Step], Step]:
    """Register the decorated formula for `Apply<name>` and its other forms.

    Args:
        name: the op's name without its prefix.
        states: its variables.
        inputs: its other inputs, `indices` only where there is a sparse form.
        attr: the attribute that the formula takes.
        host: inputs that the host looks at.
        on_rows: the formula of the sparse form, where TensorFlow has another.
    """
    kinds = ("", "Sparse") if "indices" in inputs.split() else ("",)
    op_types = [f"{where}{kind}Apply{name}" for where in ("", "Resource") for kind in kinds]

    def register(step: Step) -> Step:
        run = _Training(states, inputs, step, on_rows)
        for op_type in op_types:
            is_sparse = "Sparse" in op_type
            kernel(op_type, host=host, joins="" if is_sparse else "updates")(_taking(attr, run))
            if is_sparse:
                padded = _taking(attr, partial(run, is_padded=True))
                kernel(op_type, host=host, form="padded", device="GPU")(padded)
        return step

    return register


@_trains("GradientDescent", "var", "alpha delta")
def _gradient_descent(xp: Any, spare: Any, var: Any, delta: Any, *, alpha: Any) -> None:
    (step,) = spare(1)
    var -= xp.multiply(delta, alpha, out=step)


def _momentum_rows(
    xp: Any, spare: Any, var: Any, accum: Any, grad: Any,
    *, lr: Any, momentum: Any, use_nesterov: bool,
) -> None:  # fmt: skip
    step, ahead = spare(2)
    accum *= momentum
    accum += grad
    if use_nesterov:
        xp.multiply(grad, lr, out=step)
        step += xp.multiply(accum, lr * momentum, out=ahead)
    else:
        xp.multiply(accum, lr, out=step)
    var -= step


@_trains("Momentum", "var accum", "lr grad indices momentum",
         attr="use_nesterov", on_rows=_momentum_rows)  # fmt: skip
def _momentum(
    xp: Any, spare: Any, var: Any, accum: Any, grad: Any,
    *, lr: Any, momentum: Any, use_nesterov: bool,
) -> None:  # fmt: skip
    step, ahead = spare(2)
    accum *= momentum
    accum += grad
    if use_nesterov:
        xp.multiply(grad, lr, out=step)
        xp.multiply(accum, momentum, out=ahead)
        ahead *= lr
        step += ahead
    else:
        xp.multiply(accum, lr, out=step)
    var -= step


@_trains("Adam", "var m v", "beta1_power beta2_power lr beta1 beta2 epsilon grad",
         attr="use_nesterov")  # fmt: skip
def _adam(
    xp: Any, spare: Any, var: Any, m: Any, v: Any, grad: Any,
    *, beta1_power: Any, beta2_power: Any, lr: Any, beta1: Any, beta2: Any, epsilon: Any,
    use_nesterov: bool,
) -> None:  # fmt: skip
    """Adam (Kingma and Ba, 2015, in the form of their section 2's last paragraph)."""
    alpha = lr * xp.sqrt(1 - beta2_power) / (1 - beta1_power)
    change, step = spare(2)
    xp.subtract(grad, m, out=change)
    change *= 1 - beta1
    m += change
    xp.multiply(grad, grad, out=change)
    change -= v
    change *= 1 - beta2
    v += change
    deviation = xp.sqrt(v, out=change)
    deviation += epsilon
    if use_nesterov:
        xp.multiply(grad, 1 - beta1, out=step)
        step += m * beta1
        step *= alpha
    else:
        xp.multiply(m, alpha, out=step)
    step /= deviation
    var -= step


def _rms_prop_rows(
    xp: Any, spare: Any, var: Any, ms: Any, mom: Any, grad: Any,
    *, lr: Any, rho: Any, momentum: Any, epsilon: Any,
) -> None:  # fmt: skip
    (change,) = spare(1)
    ms *= rho
    xp.multiply(grad, grad, out=change)
    change *= 1 - rho
    ms += change
    mom *= momentum
    xp.add(ms, epsilon, out=change)
    xp.reciprocal(xp.sqrt(change, out=change), out=change)
    change *= lr
    change *= grad
    mom += change
    var -= mom


@_trains("RMSProp", "var ms mom", "lr rho momentum epsilon grad indices",
         on_rows=_rms_prop_rows)  # fmt: skip
def _rms_prop(
    xp: Any, spare: Any, var: Any, ms: Any, mom: Any, grad: Any,
    *, lr: Any, rho: Any, momentum: Any, epsilon: Any,
) -> None:  # fmt: skip
    """Hinton's lecture 6e, with momentum."""
    change, step = spare(2)
    xp.multiply(grad, grad, out=change)
    change -= ms
    change *= 1 - rho
    ms += change
    mom *= momentum
    xp.add(ms, epsilon, out=change)
    xp.multiply(grad, lr, out=step)
    step /= xp.sqrt(change, out=change)
    mom += step
    var -= mom


def _centered_rms_prop_rows(
    xp: Any, spare: Any, var: Any, mg: Any, ms: Any, mom: Any, grad: Any,
    *, lr: Any, rho: Any, momentum: Any, epsilon: Any,
) -> None:  # fmt: skip
    ms *= rho
    ms += grad * grad * (1 - rho)
    mg *= rho
    mg += grad * (1 - rho)
    mom *= momentum
    mom += xp.reciprocal(xp.sqrt(ms + epsilon - mg * mg)) * lr * grad
    var -= mom


@_trains("CenteredRMSProp", "var mg ms mom", "lr rho momentum epsilon grad indices",
         on_rows=_centered_rms_prop_rows)  # fmt: skip
def _centered_rms_prop(
    xp: Any, spare: Any, var: Any, mg: Any, ms: Any, mom: Any, grad: Any,
    *, lr: Any, rho: Any, momentum: Any, epsilon: Any,
) -> None:  # fmt: skip
    """RMSProp that divides by the deviation from the mean (Graves, 2013)."""
    ms += (grad * grad - ms) * (1 - rho)
    mg += (grad - mg) * (1 - rho)
    mom *= momentum
    mom += grad * lr / xp.sqrt(ms - mg * mg + epsilon)
    var -= mom


def _add_squares(xp: Any, spare: Any, accum: Any, grad: Any) -> None:
    (squares,) = spare(1)
    accum += xp.multiply(grad, grad, out=squares)


@_trains("Adagrad", "var accum", "lr grad indices", attr="update_slots")
def _adagrad(
    xp: Any, spare: Any, var: Any, accum: Any, grad: Any, *, lr: Any, update_slots: bool
) -> None:
    """Duchi, Hazan and Singer, 2011."""
    if update_slots:
        _add_squares(xp, spare, accum, grad)
    root, step = spare(2)
    xp.sqrt(accum, out=root)
    xp.multiply(grad, lr, out=step)
    step *= xp.reciprocal(root, out=root)
    var -= step


@_trains("AdagradV2", "var accum", "lr epsilon grad indices", attr="update_slots")
def _adagrad_v2(
    xp: Any, spare: Any, var: Any, accum: Any, grad: Any,
    *, lr: Any, epsilon: Any, update_slots: bool,
) -> None:  # fmt: skip
    if update_slots:
        _add_squares(xp, spare, accum, grad)
    root, step = spare(2)
    xp.sqrt(accum, out=root)
    root += epsilon
    xp.multiply(grad, lr, out=step)
    step /= root
    var -= step


def _adagrad_da_rows(
    xp: Any, spare: Any, var: Any, total: Any, squares: Any, grad: Any,
    *, lr: Any, l1: Any, l2: Any, global_step: Any,
) -> None:  # fmt: skip
    steps = global_step.astype(var.dtype)
    total += grad
    squares += grad * grad
    shrunk = xp.maximum(xp.abs(total) / steps - xp.maximum(l1, 0), 0)
    var[...] = -xp.sign(total) * shrunk / (l2 + xp.sqrt(squares) / (steps * lr))


@_trains("AdagradDA", "var gradient_accumulator gradient_squared_accumulator",
         "grad indices lr l1 l2 global_step", on_rows=_adagrad_da_rows)  # fmt: skip
def _adagrad_da(
    xp: Any, spare: Any, var: Any, total: Any, squares: Any, grad: Any,
    *, lr: Any, l1: Any, l2: Any, global_step: Any,
) -> None:  # fmt: skip
    """Adagrad's form of dual averaging: the variable is computed anew from what was summed."""
    steps = global_step.astype(xp.float32).astype(var.dtype)
    total += grad
    squares += grad * grad
    # On every device without a look at l1: a threshold of zero takes nothing away.
    threshold = steps * xp.maximum(l1, 0)
    shrunk = xp.sign(total) * xp.maximum(xp.abs(total) - threshold, 0)
    var[...] = -lr * shrunk / (l2 * (steps * lr) + xp.sqrt(squares))


@_trains("Adadelta", "var accum accum_update", "lr rho epsilon grad indices")
def _adadelta(
    xp: Any, spare: Any, var: Any, accum: Any, accum_update: Any, grad: Any,
    *, lr: Any, rho: Any, epsilon: Any,
) -> None:  # fmt: skip
    """Zeiler, 2012."""
    update, other = spare(2)
    accum *= rho
    xp.multiply(grad, grad, out=other)
    other *= 1 - rho
    accum += other
    xp.add(accum_update, epsilon, out=update)
    xp.sqrt(update, out=update)
    xp.add(accum, epsilon, out=other)
    update *= xp.reciprocal(xp.sqrt(other, out=other), out=other)
    update *= grad
    var -= xp.multiply(update, lr, out=other)
    accum_update *= rho
    xp.multiply(update, update, out=other)
    other *= 1 - rho
    accum_update += other


def _toward_zero(xp: Any, var: Any, by: Any, shrink: Any) -> None:
    """The proximal step of Duchi and Singer, 2009: less by `by`, then divided by 1 + `shrink`."""
    shrunk = xp.maximum(xp.abs(var) - xp.maximum(by, 0), 0)
    var[...] = xp.sign(var) * shrunk / (1 + shrink)


@_trains("ProximalGradientDescent", "var", "alpha l1 l2 delta indices")
def _proximal_gradient_descent(
    xp: Any, spare: Any, var: Any, delta: Any, *, alpha: Any, l1: Any, l2: Any
) -> None:
    var -= delta * alpha
    _toward_zero(xp, var, alpha * l1, l2 * alpha)


@_trains("ProximalAdagrad", "var accum", "lr l1 l2 grad indices")
def _proximal_adagrad(
    xp: Any, spare: Any, var: Any, accum: Any, grad: Any, *, lr: Any, l1: Any, l2: Any
) -> None:
    accum += grad * grad
    rate = lr * xp.reciprocal(xp.sqrt(accum))
    var -= grad * rate
    _toward_zero(xp, var, rate * l1, l2 * rate)


def _root(xp: Any, accum: Any, lr_power: Any, out: Any) -> None:
    if lr_power == -0.5:
        xp.sqrt(accum, out=out)
    else:
        out[...] = accum**-lr_power


def _follow(
    xp: Any, spare: Any, var: Any, accum: Any, linear: Any, grad: Any,
    *, lr: Any, l1: Any, l2: Any, lr_power: Any, multiply_linear_by_lr: bool,
    l2_shrinkage: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Update `accum` and `linear`; gives how far `linear` goes for nothing, and what divides it."""
    gained, after, step = spare(3)
    shrunk = grad if l2_shrinkage is None else grad + 2 * l2_shrinkage * var
    _root(xp, accum, lr_power, gained)
    accum += xp.multiply(grad, grad, out=step)
    _root(xp, accum, lr_power, after)
    xp.subtract(after, gained, out=gained)
    if multiply_linear_by_lr:
        gained *= var
        linear += xp.subtract(xp.multiply(shrunk, lr, out=step), gained, out=step)
        after += 2 * l2 * lr
        return l1 * lr, after
    gained /= lr
    gained *= var
    linear += xp.subtract(shrunk, gained, out=step)
    after /= lr
    after += 2 * l2
    return l1, after


def _ftrl_rows(
    xp: Any, spare: Any, var: Any, accum: Any, linear: Any, grad: Any, **how: Any
) -> None:
    bound, slope = _follow(xp, spare, var, accum, linear, grad, **how)
    var[...] = (xp.maximum(xp.minimum(linear, bound), -bound) - linear) / slope


@_trains("FtrlV2", "var accum linear", "grad indices lr l1 l2 l2_shrinkage lr_power",
         attr="multiply_linear_by_lr", host=["lr_power"], on_rows=_ftrl_rows)  # fmt: skip
@_trains("Ftrl", "var accum linear", "grad indices lr l1 l2 lr_power",
         attr="multiply_linear_by_lr", host=["lr_power"], on_rows=_ftrl_rows)  # fmt: skip
def _ftrl(xp: Any, spare: Any, var: Any, accum: Any, linear: Any, grad: Any, **how: Any) -> None:
    """Follow the regularized leader, proximally (McMahan and others, 2013)."""
    bound, slope = _follow(xp, spare, var, accum, linear, grad, **how)
    reached = xp.sign(linear)
    reached *= bound
    reached -= linear
    reached /= slope
    var[...] = xp.where(xp.abs(linear) > bound, reached, reached.dtype.type(0))
