"""`tf.contrib.opt.ScipyOptimizerInterface`: variables that an optimizer outside the graph moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from tfsession.core import errors
from tfsession.core.exports import export
from tfsession.core.verbosity import info
from tfsession.gradients.engine import gradients
from tfsession.ops.constant import placeholder, zeros_like
from tfsession.ops.join import concat
from tfsession.ops.shape import reshape
from tfsession.ops.variables import trainable_variables
from tfsession.runtime.default_session import get_default_session

# Takes a flat vector of all variables, gives the values of some tensors there.
Evaluation = Callable[[np.ndarray], list[Any]]


def _fixed_shape(variable: Any) -> tuple[int, ...]:
    shape = variable.get_shape()
    if not shape.is_fully_defined():
        raise ValueError(f"Variable {variable.op.name!r} has no fixed shape: {shape}")
    return tuple(shape.as_list())


def _packed(tensors: Sequence[Any]) -> Any:
    """The tensors as one flat vector; None for none."""
    flat = [reshape(tensor, [-1]) for tensor in tensors]
    return concat(flat, 0) if len(flat) > 1 else flat[0] if flat else None


def _gradient(loss: Any, variables: Sequence[Any]) -> Any:
    """The derivatives by all variables as one flat vector, 0 where nothing depends on one."""
    found = gradients(loss, variables)
    pairs = zip(variables, found, strict=True)
    return _packed([zeros_like(v) if slope is None else slope for v, slope in pairs])


@export("contrib.opt.ExternalOptimizerInterface")
class ExternalOptimizerInterface:
    """What an optimizer of another library needs; subclasses hold the optimizer in `_minimize`.

    Args:
        loss: the scalar to make small.
        var_list: the variables to move; the trainable ones by default.
        equalities: scalars to hold at 0.
        inequalities: scalars to hold at 0 or above.
        var_to_bounds: variable to (lower, upper), each broadcast to the shape of the variable;
            infinite where one is not named.
        **optimizer_kwargs: kept in `optimizer_kwargs` for the optimizer.

    Raises:
        ValueError: a variable has no fixed shape.
    """

    def __init__(
        self,
        loss: Any,
        var_list: Sequence[Any] | None = None,
        equalities: Sequence[Any] | None = None,
        inequalities: Sequence[Any] | None = None,
        var_to_bounds: dict[Any, tuple[Any, Any]] | None = None,
        **optimizer_kwargs: Any,
    ) -> None:
        self._loss = loss
        self._equalities = list(equalities or ())
        self._inequalities = list(inequalities or ())
        self._vars = list(trainable_variables() if var_list is None else var_list)
        self._shapes = [_fixed_shape(variable) for variable in self._vars]
        self._packed_bounds = self._bounds(var_to_bounds)
        self._update_placeholders = [placeholder(v.dtype.base_dtype, v.shape) for v in self._vars]
        self._var_updates = [
            variable.assign(value)
            for variable, value in zip(self._vars, self._update_placeholders, strict=True)
        ]
        self._packed_var = _packed(self._vars)
        self._packed_loss_grad = _gradient(loss, self._vars)
        self._equality_grads = [_gradient(one, self._vars) for one in self._equalities]
        self._inequality_grads = [_gradient(one, self._vars) for one in self._inequalities]
        ends = accumulate((int(np.prod(shape)) for shape in self._shapes), initial=0)
        self._packing_slices = [slice(start, end) for start, end in pairwise(ends)]
        self.optimizer_kwargs = optimizer_kwargs

    def _bounds(self, bounds_of: dict[Any, tuple[Any, Any]] | None) -> list[Any] | None:
        """(lower, upper) of each element of the flat vector."""
        if bounds_of is None:
            return None
        packed: list[Any] = []
        for variable, shape in zip(self._vars, self._shapes, strict=True):
            lower, upper = bounds_of.get(variable, (-np.inf, np.inf))
            limits = [np.broadcast_to(limit, shape).ravel() for limit in (lower, upper)]
            packed.extend(zip(*limits, strict=True))
        return packed

    def _unpacked(self, point: np.ndarray) -> list[np.ndarray]:
        """The value of each variable at a point."""
        parts = zip(self._packing_slices, self._shapes, strict=True)
        return [point[part].reshape(shape) for part, shape in parts]

    def minimize(
        self,
        session: Any = None,
        feed_dict: dict[Any, Any] | None = None,
        fetches: Sequence[Any] | None = None,
        step_callback: Callable[..., Any] | None = None,
        loss_callback: Callable[..., Any] | None = None,
        **run_kwargs: Any,
    ) -> None:
        """Move the variables to where the optimizer ends.

        Until then they keep their values: the points on the way are fed in their place. Resource
        variables are read by more than one operation, so that they are set on the way.

        Args:
            session: the default session if None.
            feed_dict: fed each time the loss or a constraint is computed.
            fetches: what `loss_callback` gets.
            step_callback: called after each step with the variables as one flat vector.
            loss_callback: called with the values of `fetches` each time the loss is computed.
            **run_kwargs: further arguments of `session.run` where the variables are set in the end.

        Raises:
            ValueError: there is no session.
        """
        session = session or get_default_session()
        if session is None:
            raise ValueError("minimize() needs a session: pass one, or enter it with `with`")

        def evaluated(*tensors: Any, callback: Any = None) -> Evaluation:
            also = list(fetches or ()) if callback else []
            return self._evaluation(tensors, session, feed_dict or {}, also, callback)

        ended = self._minimize(
            initial_val=session.run(self._packed_var),
            loss_grad_func=evaluated(self._loss, self._packed_loss_grad, callback=loss_callback),
            equality_funcs=[evaluated(one) for one in self._equalities],
            equality_grad_funcs=[evaluated(one) for one in self._equality_grads],
            inequality_funcs=[evaluated(one) for one in self._inequalities],
            inequality_grad_funcs=[evaluated(one) for one in self._inequality_grads],
            packed_bounds=self._packed_bounds,
            step_callback=step_callback or (lambda *_: None),
            optimizer_kwargs=self.optimizer_kwargs,
        )
        feeds = dict(zip(self._update_placeholders, self._unpacked(ended), strict=True))
        session.run(self._var_updates, feed_dict=feeds, **run_kwargs)

    def _minimize(
        self,
        initial_val: np.ndarray,
        loss_grad_func: Evaluation,
        equality_funcs: list[Evaluation],
        equality_grad_funcs: list[Evaluation],
        inequality_funcs: list[Evaluation],
        inequality_grad_funcs: list[Evaluation],
        packed_bounds: list[Any] | None,
        step_callback: Callable[..., Any],
        optimizer_kwargs: dict[str, Any],
    ) -> np.ndarray:
        """The flat vector where the optimizer ends, from `initial_val` on."""
        raise NotImplementedError(
            "To use ExternalOptimizerInterface, subclass from it and implement the _minimize() "
            "method."
        )

    def _evaluation(
        self,
        tensors: Sequence[Any],
        session: Any,
        feed_dict: dict[Any, Any],
        fetches: list[Any],
        callback: Callable[..., Any] | None,
    ) -> Evaluation:
        """What computes `tensors` at a point, and hands `fetches` at that point to `callback`."""
        count = len(tensors)
        wanted = [*tensors, *fetches]

        def evaluate(point: np.ndarray) -> list[Any]:
            feeds, updates, set_to = {}, [], {}
            for variable, update, place, value in zip(
                self._vars, self._var_updates, self._update_placeholders, self._unpacked(point),
                strict=True,
            ):  # fmt: skip
                if variable.dtype.is_ref:
                    feeds[variable] = value
                else:
                    updates.append(update)
                    set_to[place] = value
            if updates:
                session.run(updates, feed_dict=set_to)
            values = session.run(wanted, feed_dict={**feeds, **feed_dict})
            if callback is not None:
                callback(*values[count:])
            return values[:count]

        return evaluate


@export("contrib.opt.ScipyOptimizerInterface")
class ScipyOptimizerInterface(ExternalOptimizerInterface):
    """`scipy.optimize.minimize` on the variables of a graph; needs SciPy.

    Args:
        method: the keyword argument of SciPy, "L-BFGS-B" by default.
        options: the keyword argument of SciPy.

    Raises:
        ValueError: from `minimize`, a keyword argument that is set here was given, too.
        UnimplementedError: from `minimize`, SciPy is not installed.
    """

    _DEFAULT_METHOD = "L-BFGS-B"

    def _minimize(
        self,
        initial_val: np.ndarray,
        loss_grad_func: Evaluation,
        equality_funcs: list[Evaluation],
        equality_grad_funcs: list[Evaluation],
        inequality_funcs: list[Evaluation],
        inequality_grad_funcs: list[Evaluation],
        packed_bounds: list[Any] | None,
        step_callback: Callable[..., Any],
        optimizer_kwargs: dict[str, Any],
    ) -> np.ndarray:
        try:
            from scipy.optimize import minimize  # noqa: PLC0415
        except ImportError as error:
            text = (
                "ScipyOptimizerInterface needs SciPy, which is not installed: "
                "pip install 'tfsession[scipy]'"
            )
            raise errors.UnimplementedError(None, None, text) from error

        def in_doubles(function: Evaluation) -> Callable[[np.ndarray], Any]:
            """The function with results as what the compiled part of most methods asks for."""
            return lambda point: np.asarray(function(point)[0], np.float64)

        def loss_and_gradient(point: np.ndarray) -> tuple[Any, np.ndarray]:
            loss, slopes = loss_grad_func(point)
            return loss, slopes.astype(np.float64)

        constraints = [
            {"type": kind, "fun": in_doubles(function), "jac": in_doubles(slopes)}
            for kind, functions, gradients_of in (
                ("eq", equality_funcs, equality_grad_funcs),
                ("ineq", inequality_funcs, inequality_grad_funcs),
            )
            for function, slopes in zip(functions, gradients_of, strict=True)
        ]
        options = dict(optimizer_kwargs)
        arguments = {
            "jac": True,
            "callback": step_callback,
            "method": options.pop("method", self._DEFAULT_METHOD),
            "constraints": constraints,
            "bounds": packed_bounds,
        }
        for name in arguments.keys() & options.keys():
            if name == "bounds":
                raise ValueError("Bounds must be set using the var_to_bounds argument")
            raise ValueError(
                f"Optimizer keyword arg '{name}' is set automatically and cannot be injected "
                "manually"
            )
        start = initial_val.astype(np.float64)
        result = minimize(loss_and_gradient, start, **arguments, **options)
        info(
            "Optimization terminated with:\n  Message: %s\n  Objective function value: %s\n"
            "  Number of iterations: %s\n  Number of functions evaluations: %s",
            *(result.get(key, "unknown") for key in ("message", "fun", "nit", "nfev")),
        )
        return result.x
