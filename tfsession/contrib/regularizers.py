"""Losses of weights: `tf.contrib.layers.l2_regularizer` and its like."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops import unary
from tfsession.ops.constant import constant
from tfsession.ops.elementwise import add_n, multiply
from tfsession.ops.nn import l2_loss
from tfsession.ops.reduce import reduce_sum

logger = logging.getLogger("tfsession")

# Takes weights, gives a scalar loss, or None for none.
Regularizer = Callable[..., Tensor | None]


def _is_zero(scale: Any) -> bool:
    """Whether a scale asks for no loss; ValueError if it is none."""
    if isinstance(scale, numbers.Integral):
        raise ValueError(f"scale cannot be an integer: {scale}")
    if isinstance(scale, numbers.Real):
        if scale < 0.0:
            raise ValueError(f"Setting a scale less than 0 on a regularizer: {scale:g}")
        if scale == 0.0:
            logger.info("Scale of 0 disables regularizer.")
            return True
    return False


def _scaled(scale: Any, scope: str | None, name: str, loss: Callable[[Any], Tensor]) -> Regularizer:
    if _is_zero(scale):
        return lambda _: None

    def regularizer(weights: Any, name: str | None = None) -> Tensor:
        with name_scope(scope, kind, [weights]) as here:
            factor = convert_to_tensor(scale, dtype=weights.dtype.base_dtype, name="scale")
            return multiply(factor, loss(weights), name=name or here)

    kind = name
    return regularizer


@export("contrib.layers.l1_regularizer", "contrib.slim.l1_regularizer")
def l1_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """`scale` times the sum of the absolute weights; 0.0 for no loss.

    Raises:
        ValueError: `scale` is an integer, or negative.
    """
    return _scaled(scale, scope, "l1_regularizer", lambda weights: reduce_sum(unary.abs(weights)))


@export("contrib.layers.l2_regularizer", "contrib.slim.l2_regularizer")
def l2_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """`scale` times half the sum of the squared weights; 0.0 for no loss.

    Raises:
        ValueError: `scale` is an integer, or negative.
    """
    return _scaled(scale, scope, "l2_regularizer", l2_loss)


@export("contrib.layers.l1_l2_regularizer", "contrib.slim.l1_l2_regularizer")
def l1_l2_regularizer(
    scale_l1: float = 1.0, scale_l2: float = 1.0, scope: str | None = None
) -> Regularizer:
    """The sum of both losses.

    Raises:
        ValueError: a scale is an integer, or negative.
    """
    for scale in (scale_l1, scale_l2):
        if isinstance(scale, numbers.Integral):
            raise ValueError(f"scale cannot be an integer: {scale}")
    scope = scope or "l1_l2_regularizer"
    if scale_l1 == 0.0:
        return l2_regularizer(scale_l2, scope)
    if scale_l2 == 0.0:
        return l1_regularizer(scale_l1, scope)
    return sum_regularizer([l1_regularizer(scale_l1), l2_regularizer(scale_l2)], scope=scope)


@export("contrib.layers.sum_regularizer")
def sum_regularizer(
    regularizer_list: Sequence[Regularizer | None], scope: str | None = None
) -> Regularizer | None:
    """The sum of what several regularizers give; None if there are none."""
    regularizers = [regularizer for regularizer in regularizer_list if regularizer is not None]
    if not regularizers:
        return None

    def sum_reg(weights: Any) -> Tensor | None:
        with name_scope(scope, "sum_regularizer", [weights]):
            found = [regularizer(weights) for regularizer in regularizers]
            losses = [loss for loss in found if loss is not None]
            return add_n(losses) if losses else None

    return sum_reg


@export("contrib.layers.apply_regularization", "contrib.slim.apply_regularization")
def apply_regularization(regularizer: Regularizer, weights_list: Any = None) -> Tensor:
    """The sum of the losses of weights, which joins the collection of regularization losses.

    Args:
        regularizer: gives the loss of one of them.
        weights_list: the weights; those in the collection WEIGHTS if not given.

    Raises:
        ValueError: a loss is no scalar.
    """
    graph = get_default_graph()
    weights = weights_list or graph.get_collection(GraphKeys.WEIGHTS)
    with name_scope("get_regularization_penalty", values=weights) as scope:
        found = [regularizer(w) for w in weights]
        losses = [constant(0.0) if loss is None else loss for loss in found]
        for loss in losses:
            if loss.shape.ndims != 0:
                raise ValueError(
                    f"regularizer must return a scalar Tensor instead of a Tensor with rank "
                    f"{loss.shape.ndims}."
                )
        total = add_n(losses, name=scope) if losses else constant(0.0)
        graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, total)
        return total
