"""Gradients held against differences: `tf.test.compute_gradient`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.exports import export
from tfsession.gradients.engine import gradients
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.ops.constant import constant, identity
from tfsession.runtime.default_session import get_default_session


@export("test.compute_gradient")
def compute_gradient(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Sequence[Any] | None = None,
    extra_feed_dict: dict[Any, Any] | None = None,
) -> Any:
    """The Jacobian of `y` by `x`: as its gradients say, and by central differences.

    Args:
        x: a tensor, or a list of them.
        x_shape: its shape; a list of shapes for a list.
        y: a tensor.
        y_shape: its shape.
        x_init_value: where the Jacobian is taken; random numbers when None.
        delta: half the length of a difference.
        init_targets: operations to run first.
        extra_feed_dict: what else to feed.

    Returns:
        Two matrices of as many rows as `x` and columns as `y` have elements (twice as many where
        these are complex); for a list, a list of such pairs. Uses the default session.

    Raises:
        ValueError: there is no default session, or `y` has no gradient by `x`.
        TypeError: a dtype is neither floating nor complex.
    """
    many = isinstance(x, list)
    tensors, shapes = (x, x_shape) if many else ([x], [x_shape])
    starts = x_init_value if many and x_init_value is not None else [x_init_value] * len(tensors)
    made = [_gradient(tensor, y, y_shape) for tensor in tensors]
    for target in init_targets or ():
        target.run()
    feeds = dict(extra_feed_dict or {})
    found = []
    for tensor, shape, start, (dx, dy) in zip(tensors, shapes, starts, made, strict=True):
        data = _start(tensor, shape, start)
        by_rule = _by_rule(tensor, data, dx, dy, feeds)
        found.append((by_rule, _by_differences(tensor, data, y, delta, feeds)))
    return found if many else found[0]


@export("test.compute_gradient_error")
def compute_gradient_error(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Sequence[Any] | None = None,
    extra_feed_dict: dict[Any, Any] | None = None,
) -> float:
    """The largest difference between the Jacobians of `compute_gradient`; NaN if they have NaNs."""
    pairs = compute_gradient(
        x, x_shape, y, y_shape, x_init_value, delta, init_targets, extra_feed_dict
    )
    error = 0.0
    for by_rule, by_differences in pairs if isinstance(pairs, list) else [pairs]:
        if by_rule.size:
            error = max(np.abs(by_rule - by_differences).max(), error, key=_nan_first)
    return float(error)


def _nan_first(value: float) -> float:
    return np.inf if np.isnan(value) else value


def _gradient(x: Any, y: Any, y_shape: Any) -> tuple[Any, Any]:
    """The gradient of `y` by `x`, and the tensor to feed it from."""
    for tensor in (x, y):
        if not (tensor.dtype.is_floating or tensor.dtype.is_complex):
            raise TypeError(f"Don't support type {tensor.dtype.name} for {tensor.name}")
    with x.graph.as_default():
        fed = constant(1.0, shape=y_shape, dtype=y.dtype)
        dy = identity(fed)
    dx = gradients(y, x, dy)[0]
    if dx is None:
        raise ValueError(f"{y.name} has no gradient by {x.name}")
    return dx, fed


def _start(x: Any, shape: Any, value: Any) -> Any:
    if value is not None:
        return np.asarray(value, x.dtype.as_numpy_dtype)
    data = np.random.random_sample(shape)  # noqa: NPY002 (programs seed it)
    if x.dtype.is_complex:
        data = data + 1j * np.random.random_sample(shape)  # noqa: NPY002
    return np.asarray(data).astype(x.dtype.as_numpy_dtype)


def _run(fetches: Any, feeds: dict[Any, Any]) -> Any:
    session = get_default_session()
    if session is None:
        raise ValueError("compute_gradient needs a default session: `with tf.Session():`")
    return session.run(fetches, feeds)


def _by_rule(x: Any, data: Any, dx: Any, dy: Any, feeds: dict[Any, Any]) -> Any:
    real = x.dtype.real_dtype.as_numpy_dtype
    backwards = np.zeros(dy.shape.as_list(), dy.dtype.as_numpy_dtype)
    flat = backwards.reshape(-1).view(dy.dtype.real_dtype.as_numpy_dtype)
    jacobian = np.zeros((data.reshape(-1).view(real).size, flat.size), real)
    for column in range(flat.size):
        flat[column] = 1
        result = _run(dx, feeds | {x: data, dy: backwards})
        if isinstance(dx, IndexedSlices):
            dense = np.zeros(data.shape, data.dtype)
            np.add.at(dense, result.indices, result.values)
            result = dense
        jacobian[:, column] = np.asarray(result).reshape(-1).view(real)
        flat[column] = 0
    return jacobian


def _by_differences(x: Any, data: Any, y: Any, delta: float, feeds: dict[Any, Any]) -> Any:
    real = x.dtype.real_dtype.as_numpy_dtype
    y_real = y.dtype.real_dtype.as_numpy_dtype
    rows = []
    for row in range(data.reshape(-1).view(real).size):
        values = []
        for step in (delta, -delta):
            moved = data.copy()
            moved.reshape(-1).view(real)[row] += real(step)
            values.append(np.asarray(_run(y, feeds | {x: moved})).reshape(-1).view(y_real))
        rows.append((values[0] - values[1]) / y_real(2 * delta))
    return np.array(rows, real) if rows else np.zeros((0, 0), real)
