"""`tf.contrib.layers.optimize_loss`: a training step in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tfsession.core.exports import export, export_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import control_dependencies
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.tensor import Tensor
from tfsession.ops.check_kind import assert_scalar
from tfsession.ops.clip import clip_by_global_norm, global_norm
from tfsession.ops.constant import constant, identity
from tfsession.ops.initializers import Constant
from tfsession.ops.random import truncated_normal
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.summary import histogram, scalar
from tfsession.ops.variable_scope import get_variable, variable_scope
from tfsession.train.adagrad import AdagradOptimizer
from tfsession.train.adam import AdamOptimizer
from tfsession.train.ftrl import FtrlOptimizer
from tfsession.train.gradient_descent import GradientDescentOptimizer, MomentumOptimizer
from tfsession.train.optimizer import Optimizer
from tfsession.train.rms_prop import RMSPropOptimizer
from tfsession.train.step_counter import assert_global_step, get_global_step

Pairs = list[tuple[Any, Any]]

OPTIMIZER_CLS_NAMES: Final[dict[str, Callable[..., Optimizer]]] = {
    "Adagrad": AdagradOptimizer,
    "Adam": AdamOptimizer,
    "Ftrl": FtrlOptimizer,
    "Momentum": lambda learning_rate: MomentumOptimizer(learning_rate, momentum=0.9),
    "RMSProp": RMSPropOptimizer,
    "SGD": GradientDescentOptimizer,
}
OPTIMIZER_SUMMARIES: Final = [
    *("learning_rate", "loss", "gradients", "gradient_norm", "global_gradient_norm"),
]
for _name in ("OPTIMIZER_CLS_NAMES", "OPTIMIZER_SUMMARIES"):
    export_value(globals()[_name], f"contrib.layers.{_name}", f"contrib.layers.optimizers.{_name}")


@export("contrib.layers.optimize_loss", "contrib.layers.optimizers.optimize_loss")
def optimize_loss(
    loss: Any,
    global_step: Any,
    learning_rate: Any,
    optimizer: Any,
    gradient_noise_scale: float | None = None,
    gradient_multipliers: dict[Any, Any] | None = None,
    clip_gradients: Any = None,
    learning_rate_decay_fn: Callable[..., Any] | None = None,
    update_ops: Any = None,
    variables: Sequence[Any] | None = None,
    name: str | None = None,
    summaries: Sequence[str] | None = None,
    colocate_gradients_with_ops: bool = False,
    increment_global_step: bool = True,
) -> Tensor:
    """The loss, once variables are trained by it.

    Args:
        loss: a scalar.
        global_step: counts the steps; the graph's if None.
        learning_rate: a scalar tensor, a float that becomes the variable `learning_rate`, or None.
        optimizer: a name ("SGD", "Adam", ...), a class, an optimizer, or a function that gives one.
        gradient_noise_scale: how much noise gradients get, if any.
        gradient_multipliers: factors for the gradients of variables, by variable or its name.
        clip_gradients: a global norm, or a function of the pairs of gradients and variables.
        learning_rate_decay_fn: gives the rate of a step from the rate and the step.
        update_ops: what is run before; the collection UPDATE_OPS if None.
        variables: what is trained; all trainable variables if None.
        name: variable scope.
        summaries: which of `OPTIMIZER_SUMMARIES` are made.
        colocate_gradients_with_ops: as of `tf.gradients`.
        increment_global_step: whether the step counts.

    Raises:
        ValueError: an argument is none of these, or no gradient is left.
    """
    loss = convert_to_tensor(loss)
    assert_scalar(loss)
    if global_step is None:
        global_step = get_global_step()
    else:
        assert_global_step(global_step)
    with variable_scope(name, "OptimizeLoss", [loss, global_step]):
        graph = get_default_graph()
        if update_ops is None:
            update_ops = graph.get_collection(GraphKeys.UPDATE_OPS)
        loss = _after(list(update_ops), loss) if update_ops else loss
        wanted = _checked(summaries)
        rate = _rate(learning_rate, learning_rate_decay_fn, global_step, wanted)
        opt = _optimizer_of(optimizer, rate)
        if variables is None:
            variables = graph.get_collection(GraphKeys.TRAINABLE_VARIABLES)
        pairs: Pairs = opt.compute_gradients(
            loss, variables, colocate_gradients_with_ops=colocate_gradients_with_ops
        )
        if gradient_noise_scale is not None:
            pairs = _noisy(pairs, gradient_noise_scale)
        if gradient_multipliers is not None:
            pairs = _multiplied(pairs, gradient_multipliers)
        norms = {"global_gradient_norm", "gradient_norm"} & set(wanted)
        if norms:
            scalar("global_norm/gradient_norm", global_norm([g for g, _ in pairs]))
        pairs = _clipped(pairs, clip_gradients)
        if "loss" in wanted:
            scalar("loss", loss)
        _summarize(pairs, wanted)
        if clip_gradients is not None and norms:
            scalar("global_norm/clipped_gradient_norm", global_norm([g for g, _ in pairs]))
        step = global_step if increment_global_step else None
        return _after([opt.apply_gradients(pairs, global_step=step, name="train")], loss)


def _after(ops: list[Any], tensor: Tensor) -> Tensor:
    with control_dependencies(ops):
        return identity(tensor)


def _checked(summaries: Sequence[str] | None) -> Sequence[str]:
    if summaries is None:
        return ["loss", "learning_rate", "global_gradient_norm"]
    for summary in summaries:
        if summary not in OPTIMIZER_SUMMARIES:
            raise ValueError(
                f"Summaries should be one of [{', '.join(OPTIMIZER_SUMMARIES)}], you provided "
                f"{summary}."
            )
    return summaries


def _rate(given: Any, decay: Any, global_step: Any, summaries: Sequence[str]) -> Any:
    if given is None:
        return None
    if isinstance(given, Tensor) and given.shape.ndims == 0:
        rate: Any = given
    elif isinstance(given, float):
        if given < 0.0:
            raise ValueError(f"Invalid learning_rate {given}.")
        rate = get_variable("learning_rate", [], trainable=False, initializer=Constant(given))
    else:
        raise ValueError(
            f"Learning rate should be 0d Tensor or float. Got {given} of type {type(given)}"
        )
    if decay is not None:
        if global_step is None:
            raise ValueError("global_step is required for learning_rate_decay_fn.")
        rate = decay(rate, global_step)
        if "learning_rate" in summaries:
            scalar("learning_rate", rate)
    return rate


def _optimizer_of(optimizer: Any, rate: Any) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str) and optimizer not in OPTIMIZER_CLS_NAMES:
        raise ValueError(
            f"Optimizer name should be one of [{', '.join(OPTIMIZER_CLS_NAMES)}], you provided "
            f"{optimizer}."
        )
    is_class = isinstance(optimizer, type) and issubclass(optimizer, Optimizer)
    if isinstance(optimizer, str) or is_class:
        if rate is None:
            raise ValueError(
                f"Learning rate is None, but should be specified if optimizer is string or class "
                f"({optimizer})."
            )
        make = OPTIMIZER_CLS_NAMES[optimizer] if isinstance(optimizer, str) else optimizer
        return make(learning_rate=rate)  # type: ignore[no-any-return]
    if not callable(optimizer):
        raise ValueError(
            "Unrecognized optimizer: should be string, subclass of Optimizer, instance of subclass "
            f"of Optimizer or function with one argument. Got {optimizer}."
        )
    made = optimizer() if rate is None else optimizer(rate)
    if not isinstance(made, Optimizer):
        raise ValueError(
            f"Unrecognized optimizer: function should return subclass of Optimizer. Got {made}."
        )
    return made


def _changed(gradient: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(gradient, IndexedSlices):
        return IndexedSlices(change(gradient.values), gradient.indices, gradient.dense_shape)
    return None if gradient is None else change(gradient)


def _noisy(pairs: Pairs, scale: float) -> Pairs:
    def noisy(values: Any) -> Any:
        return values + truncated_normal(shape_of(values)) * scale

    return [(_changed(gradient, noisy), variable) for gradient, variable in pairs]


def _multiplied(pairs: Pairs, factors: dict[Any, Any]) -> Pairs:
    multiplied: Pairs = []
    for gradient, variable in pairs:
        factor = factors.get(variable, factors.get(variable.name, factors.get(variable.op.name)))
        if gradient is not None and factor is not None:
            value = constant(factor, dtype=variable.dtype.base_dtype)
            gradient = _changed(gradient, lambda values, value=value: values * value)
        multiplied.append((gradient, variable))
    if not multiplied:
        raise ValueError(
            "Empty list of (gradient, var) pairs encountered. This is most likely to be caused by "
            "an improper value of gradient_multipliers."
        )
    return multiplied


def _clipped(pairs: Pairs, clip: Any) -> Pairs:
    if clip is None:
        return pairs
    if isinstance(clip, float):
        clipped, _ = clip_by_global_norm([gradient for gradient, _ in pairs], clip)
        return [(g, variable) for g, (_, variable) in zip(clipped, pairs, strict=True)]
    if callable(clip):
        return list(clip(pairs))
    raise ValueError(f"Unknown type {type(clip)} for clip_gradients")


def _summarize(pairs: Pairs, wanted: Sequence[str]) -> None:
    for gradient, variable in pairs:
        values = gradient.values if isinstance(gradient, IndexedSlices) else gradient
        if values is None:
            continue
        name = variable.name.replace(":", "_")
        if "gradients" in wanted:
            histogram(f"gradients/{name}", values)
        if "gradient_norm" in wanted:
            scalar(f"gradient_norm/{name}", global_norm([values]))
