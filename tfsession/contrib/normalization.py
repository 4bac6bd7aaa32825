"""`batch_norm`, `layer_norm`, `instance_norm` and `group_norm` of `tf.contrib.layers`."""

from __future__ import annotations

from typing import Any

from tfsession.contrib.fully_connected import shown
from tfsession.contrib.layer_scope import collect_output, collect_variable, renaming_getter
from tfsession.contrib.model_variables import model_variable
from tfsession.core import dtypes
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import control_dependencies
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.initializers import Ones, Zeros
from tfsession.ops.layer_batch_norm import BatchNormalization
from tfsession.ops.moments import batch_normalization, moments
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.variable_scope import variable_scope

_ONES, _ZEROS = Ones(), Zeros()
_DEFAULTS = {"beta": _ZEROS, "gamma": _ONES, "moving_mean": _ZEROS, "moving_variance": _ONES}


@shown("batch_norm")
def batch_norm(
    inputs: Any,
    decay: float = 0.999,
    center: bool = True,
    scale: bool = False,
    epsilon: float = 0.001,
    activation_fn: Any = None,
    param_initializers: dict[str, Any] | None = None,
    param_regularizers: dict[str, Any] | None = None,
    updates_collections: Any = GraphKeys.UPDATE_OPS,
    is_training: Any = True,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    batch_weights: Any = None,
    fused: bool | None = None,
    data_format: str = "NHWC",
    zero_debias_moving_mean: bool = False,
    scope: Any = None,
    renorm: bool = False,
    renorm_clipping: Any = None,
    renorm_decay: float = 0.99,
    adjustment: Any = None,
) -> Tensor:
    """Mean zero and variance one in each channel, times gamma, plus beta.

    Args:
        inputs: at least of rank 2, the number of channels known.
        decay: weight of the old moving averages.
        center: whether there is a beta.
        scale: whether there is a gamma.
        epsilon: small number against division by zero.
        activation_fn: of the output.
        param_initializers, param_regularizers: by the name of a variable.
        updates_collections: for what moves the averages; None: they move before the output is read.
        is_training: a bool or a bool scalar tensor: normalize by the batch, not by the averages.
        reuse: whether the variables are there already; then `scope` must be given.
        variables_collections: for all variables, or a dict of those for each.
        outputs_collections: for the output.
        trainable: whether beta and gamma are trained.
        fused: False for simple operations instead of a fused one.
        data_format: "NHWC" or "NCHW".
        scope: variable scope.
        batch_weights, zero_debias_moving_mean, renorm, renorm_clipping, renorm_decay, adjustment:
            not supported.

    Raises:
        NotImplementedError: an argument that is not supported is given.
        ValueError: `data_format` is neither, or the rank or the number of channels is not known.
    """
    _refuse(
        batch_weights=batch_weights, zero_debias_moving_mean=zero_debias_moving_mean,
        renorm=renorm, adjustment=adjustment,
    )  # fmt: skip
    getter = renaming_getter({})
    with variable_scope(scope, "BatchNorm", [inputs], reuse=reuse, custom_getter=getter) as sc:
        given = convert_to_tensor(inputs)
        rank = given.shape.ndims
        images = _as_images(given) if fused is not False and rank == 2 else given
        layer = BatchNormalization(
            axis=_axis(data_format, rank),
            momentum=decay,
            epsilon=epsilon,
            center=center,
            scale=scale,
            trainable=trainable,
            name=sc.name,
            fused=fused is not False,
            _scope=sc,
            _reuse=reuse,
            **_options(param_initializers or {}, param_regularizers or {}),
        )
        outputs = layer.apply(images, training=is_training)
        outputs = outputs if images is given else _as_rows(outputs, given)
        _collect(layer, variables_collections)
        outputs = _with_updates(outputs, layer.updates, updates_collections)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return collect_output(outputs_collections, sc.name, outputs)


def _refuse(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise NotImplementedError(f"batch_norm with {name} is not supported; leave it out.")


def _axis(data_format: str, rank: int | None) -> int:
    """The dimension of the channels; ValueError for another layout."""
    if data_format not in ("NCHW", "NHWC"):
        raise ValueError("data_format has to be either NCHW or NHWC.")
    return 1 if data_format == "NCHW" and rank != 2 else -1


def _options(initializers: dict[str, Any], regularizers: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the layer for those that come by the names of variables."""
    wanted = {**_DEFAULTS, **initializers}
    options = {f"{name}_initializer": wanted[name] for name in _DEFAULTS}
    return options | {f"{name}_regularizer": regularizers.get(name) for name in ("beta", "gamma")}


def _collect(layer: BatchNormalization, collections: Any) -> None:
    for name in _DEFAULTS:
        if getattr(layer, name) is not None:
            collect_variable(getattr(layer, name), collections, name)


def _as_images(rows: Tensor) -> Tensor:
    """Rows of channels are images of one pixel to the fused operation."""
    return reshape(rows, [-1, 1, 1, rows.shape.as_list()[-1]])


def _as_rows(images: Tensor, rows: Tensor) -> Tensor:
    outputs = reshape(images, shape_of(rows))
    outputs.set_shape(rows.shape)
    return outputs


def _with_updates(outputs: Tensor, updates: list[Any], collections: Any) -> Tensor:
    """Move updates from where layers put them to where they are wanted."""
    if collections == GraphKeys.UPDATE_OPS:
        return outputs
    graph = get_default_graph()
    kept = graph.get_collection_ref(GraphKeys.UPDATE_OPS)
    kept[:] = [op for op in kept if not any(op is update for update in updates)]
    if collections is not None:
        for update in updates:
            graph.add_to_collections(collections, update)
        return outputs
    with control_dependencies(updates):
        return identity(outputs)


def _parameter(
    name: str, shape: list[int], dtype: Any, initializer: Any, collections: Any, trainable: bool
) -> Any:
    variable = model_variable(
        name, shape=shape, dtype=dtype, initializer=initializer, trainable=trainable
    )
    collect_variable(variable, collections, name)
    return variable


@shown("layer_norm")
def layer_norm(
    inputs: Any,
    center: bool = True,
    scale: bool = True,
    activation_fn: Any = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    begin_norm_axis: int = 1,
    begin_params_axis: int = -1,
    scope: Any = None,
) -> Tensor:
    """Mean zero and variance one in each example, times gamma, plus beta.

    Ba, Kiros and Hinton, "Layer Normalization", 2016.

    Args:
        inputs: known rank.
        center: whether there is a beta.
        scale: whether there is a gamma.
        activation_fn: of the output.
        reuse: whether the variables are there already; then `scope` must be given.
        variables_collections: for all variables, or a dict of those for each.
        outputs_collections: for the output.
        trainable: whether beta and gamma are trained.
        begin_norm_axis: dimensions from this one on are normalized together.
        begin_params_axis: beta and gamma have the shape of the inputs from this dimension on.
        scope: variable scope.

    Raises:
        ValueError: the rank is not known or does not go with the axes, or sizes are not known.
    """
    with variable_scope(scope, "LayerNorm", [inputs], reuse=reuse) as sc:
        inputs = convert_to_tensor(inputs)
        rank = inputs.shape.ndims
        if rank is None:
            raise ValueError(f"Inputs {inputs.name} has undefined rank.")
        begin = begin_norm_axis + rank if begin_norm_axis < 0 else begin_norm_axis
        if begin_params_axis >= rank or begin >= rank:
            raise ValueError(
                f"begin_params_axis ({begin_params_axis}) and begin_norm_axis ({begin}) must be < "
                f"rank(inputs) ({rank})"
            )
        sizes = inputs.shape.as_list()[begin_params_axis:]
        if None in sizes:
            raise ValueError(
                f"Inputs {inputs.name}: shape(inputs)[{begin_params_axis}:] is not fully defined: "
                f"{inputs.shape}"
            )
        dtype = inputs.dtype.base_dtype
        beta = gamma = None
        if center:
            beta = _parameter("beta", sizes, dtype, _ZEROS, variables_collections, trainable)
        if scale:
            gamma = _parameter("gamma", sizes, dtype, _ONES, variables_collections, trainable)
        mean, variance = moments(inputs, list(range(begin, rank)), keepdims=True)
        # The least that float16 can add to one.
        epsilon = 1e-3 if dtype is dtypes.float16 else 1e-12
        outputs = batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
        outputs.set_shape(inputs.shape)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return collect_output(outputs_collections, sc.name, outputs)


@shown("instance_norm")
def instance_norm(
    inputs: Any,
    center: bool = True,
    scale: bool = True,
    epsilon: float = 1e-6,
    activation_fn: Any = None,
    param_initializers: dict[str, Any] | None = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: Any = None,
) -> Tensor:
    """Mean zero and variance one in each channel of each example, times gamma, plus beta.

    Arguments as of `layer_norm` and `batch_norm`.

    Raises:
        ValueError: the rank or the number of channels is not known, or the layout is another.
    """
    inputs = convert_to_tensor(inputs)
    rank = inputs.shape.ndims
    if rank is None:
        raise ValueError(f"Inputs {inputs.name} has undefined rank.")
    if data_format not in ("NCHW", "NHWC"):
        raise ValueError("data_format has to be either NCHW or NHWC.")
    initializers = param_initializers or {}
    with variable_scope(scope, "InstanceNorm", [inputs], reuse=reuse) as sc:
        axis = 1 if data_format == "NCHW" else rank - 1
        depth = inputs.shape.as_list()[axis]
        if depth is None:
            raise ValueError(f"Inputs {inputs.name} has undefined channels dimension.")
        spread = [1] * rank
        spread[axis] = depth
        dtype = inputs.dtype.base_dtype
        kept: dict[str, Any] = {"beta": None, "gamma": None}
        for name, wanted, default in (("beta", center, _ZEROS), ("gamma", scale, _ONES)):
            if wanted:
                initializer = initializers.get(name, default)
                variable = _parameter(
                    name, [depth], dtype, initializer, variables_collections, trainable
                )
                kept[name] = reshape(variable, spread) if axis == 1 else variable
        axes = [i for i in range(1, rank) if i != axis]
        mean, variance = moments(inputs, axes, keepdims=True)
        outputs = batch_normalization(inputs, mean, variance, kept["beta"], kept["gamma"], epsilon)
        outputs.set_shape(inputs.shape)
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return collect_output(outputs_collections, sc.name, outputs)
