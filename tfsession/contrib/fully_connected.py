"""`tf.contrib.layers`: functions that make a layer with its variables, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.contrib.arg_scope import add_arg_scope
from tfsession.contrib.initializers import xavier_initializer
from tfsession.contrib.layer_scope import collect_output, collect_variable, renaming_getter
from tfsession.contrib.model_variables import model_variable
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.tensor import Tensor
from tfsession.ops import nn
from tfsession.ops.elementwise import maximum
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.gather import gather
from tfsession.ops.initializers import Zeros
from tfsession.ops.layer_dense import Dense, Dropout, Flatten
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import one_hot
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import rsqrt, square
from tfsession.ops.unique import unique as unique_of
from tfsession.ops.variable_scope import variable_scope

_XAVIER, _ZEROS = xavier_initializer(), Zeros()
_DENSE = {"bias": "biases", "kernel": "weights"}


def shown(*names: str) -> Callable[[Any], Any]:
    """Show a function in `tf.contrib.layers` and in slim, and let `arg_scope` work on it."""
    dotted = [f"contrib.{room}.{name}" for room in ("layers", "slim") for name in names]
    register = export(*dotted)
    return lambda function: register(add_arg_scope(function))


def applied(
    layer: Any,
    inputs: Tensor,
    kernels: Sequence[str],
    variables_collections: Any,
    *end: Any,
) -> Tensor:
    """The output of a layer with kernels and perhaps a bias; `end` are the arguments of `finished`.

    Args:
        layer: one of `tf.layers`.
        inputs: what it is called with.
        kernels: the attributes of the layer that are weights.
        variables_collections: for all variables, or a dict of those for each.
        end: as of `finished`.
    """
    outputs = layer.apply(inputs)
    for kernel in kernels:
        collect_variable(getattr(layer, kernel), variables_collections, "weights")
    if layer.bias is not None:
        collect_variable(layer.bias, variables_collections, "biases")
    return finished(outputs, *end)


def finished(
    outputs: Tensor,
    normalizer_fn: Any,
    normalizer_params: Any,
    activation_fn: Any,
    outputs_collections: Any,
    alias: str,
) -> Tensor:
    """The output of a layer, normalized and activated."""
    if normalizer_fn is not None:
        outputs = normalizer_fn(outputs, **(normalizer_params or {}))
    if activation_fn is not None:
        outputs = activation_fn(outputs)
    return collect_output(outputs_collections, alias, outputs)


@shown("fully_connected")
def fully_connected(
    inputs: Any,
    num_outputs: int,
    activation_fn: Any = nn.relu,
    normalizer_fn: Any = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = _XAVIER,
    weights_regularizer: Any = None,
    biases_initializer: Any = _ZEROS,
    biases_regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
) -> Tensor:
    """`activation_fn(inputs @ weights + biases)`.

    Args:
        inputs: at least of rank 2, the last dimension known.
        num_outputs: size of the last dimension of the output.
        activation_fn: None for none.
        normalizer_fn: used instead of biases, such as `batch_norm`.
        normalizer_params: its arguments.
        weights_initializer, biases_initializer: no biases if the latter is None.
        weights_regularizer, biases_regularizer: functions that give losses.
        reuse: whether the variables are there already; then `scope` must be given.
        variables_collections: for all variables, or a dict of those for each.
        outputs_collections: for the output.
        trainable: whether the variables are trained.
        scope: variable scope.

    Raises:
        ValueError: `num_outputs` is no integer, or rank or last dimension are not known.
    """
    if isinstance(num_outputs, bool) or not hasattr(num_outputs, "__index__"):
        raise ValueError(f"num_outputs type should be one of [int], got {type(num_outputs)}.")
    getter = renaming_getter(_DENSE)
    with variable_scope(
        scope, "fully_connected", [inputs], reuse=reuse, custom_getter=getter
    ) as sc:
        inputs = convert_to_tensor(inputs)
        layer = Dense(
            units=num_outputs,
            use_bias=normalizer_fn is None and biases_initializer is not None,
            kernel_initializer=weights_initializer,
            bias_initializer=biases_initializer,
            kernel_regularizer=weights_regularizer,
            bias_regularizer=biases_regularizer,
            trainable=trainable,
            name=sc.name,
            dtype=inputs.dtype.base_dtype,
            _scope=sc,
            _reuse=reuse,
        )
        return applied(
            layer, inputs, ["kernel"], variables_collections,
            normalizer_fn, normalizer_params, activation_fn, outputs_collections, sc.name,
        )  # fmt: skip


def _with_activation(name: str, activation_fn: Any, text: str) -> Any:
    def layer(*args: Any, **kwargs: Any) -> Tensor:
        kwargs.setdefault("activation_fn", activation_fn)
        return fully_connected(*args, **kwargs)  # type: ignore[no-any-return]

    layer.__name__, layer.__doc__ = name, f"`fully_connected` {text}."
    return shown(name)(layer)


linear = _with_activation("linear", None, "without an activation")
relu = _with_activation("relu", nn.relu, "with ReLUs")
relu6 = _with_activation("relu6", nn.relu6, "with ReLUs of 6 at most")


@shown("flatten")
def flatten(inputs: Any, outputs_collections: Any = None, scope: str | None = None) -> Tensor:
    """`[batch, ...]` as `[batch, k]`; ValueError if the rank is below 1."""
    with name_scope(scope, "Flatten", [inputs]) as sc:
        inputs = convert_to_tensor(inputs)
        if inputs.shape.ndims is not None and inputs.shape.ndims < 1:
            raise ValueError("Inputs must have a least 1 dimensions.")
        outputs = reshape(inputs, [-1, 1]) if inputs.shape.ndims == 1 else Flatten()(inputs)
        return collect_output(outputs_collections, sc, outputs)


@shown("dropout")
def dropout(
    inputs: Any,
    keep_prob: Any = 0.5,
    noise_shape: Any = None,
    is_training: Any = True,
    outputs_collections: Any = None,
    scope: Any = None,
    seed: int | None = None,
) -> Tensor:
    """While training, each element is kept and scaled by 1 / keep_prob, or else 0.

    Args:
        inputs: any shape.
        keep_prob: the probability that an element is kept.
        noise_shape: the shape of what is drawn, to be broadcast.
        is_training: a bool, or a bool scalar tensor.
        outputs_collections: for the output.
        scope: variable scope.
        seed: of the operation.
    """
    with variable_scope(scope, "Dropout", [inputs], custom_getter=renaming_getter({})) as sc:
        inputs = convert_to_tensor(inputs)
        layer = Dropout(
            rate=1 - keep_prob,
            noise_shape=noise_shape,
            seed=seed,
            name=sc.name,
            _scope=sc,
        )
        outputs = layer.apply(inputs, training=is_training)
        return collect_output(outputs_collections, sc.name, outputs)


@shown("bias_add")
def bias_add(
    inputs: Any,
    activation_fn: Any = None,
    initializer: Any = _ZEROS,
    regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    data_format: str = "NHWC",
    scope: Any = None,
) -> Tensor:
    """`activation_fn(inputs + biases)`, one bias for each channel.

    Raises:
        ValueError: `data_format` is neither NHWC nor NCHW, or the number of channels is not known.
    """
    if data_format not in ("NCHW", "NHWC"):
        raise ValueError("data_format has to be either NCHW or NHWC.")
    with variable_scope(scope, "BiasAdd", [inputs], reuse=reuse) as sc:
        inputs = convert_to_tensor(inputs)
        shape = inputs.shape
        if shape.ndims is None:
            raise ValueError("Dims of shape must be known but is None")
        if shape.ndims != 4 and data_format == "NCHW":
            raise ValueError("Data format NCHW only supports 4D Tensor")
        size = shape.as_list()[1 if data_format == "NCHW" else -1]
        if size is None:
            raise ValueError(f"`C` dimension must be known but is None: {shape}")
        biases = model_variable(
            "biases",
            shape=[size],
            dtype=inputs.dtype.base_dtype,
            initializer=initializer,
            regularizer=regularizer,
            trainable=trainable,
        )
        collect_variable(biases, variables_collections, "biases")
        outputs = nn.bias_add(inputs, biases, data_format=data_format)
        return finished(outputs, None, None, activation_fn, outputs_collections, sc.name)


@shown("one_hot_encoding")
def one_hot_encoding(
    labels: Any,
    num_classes: int,
    on_value: Any = 1.0,
    off_value: Any = 0.0,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> Tensor:
    """Labels `[batch]` as vectors `[batch, num_classes]`."""
    with name_scope(scope, "OneHotEncoding", [labels, num_classes]) as sc:
        labels = convert_to_tensor(labels)
        outputs = one_hot(labels, num_classes, on_value=on_value, off_value=off_value)
        return collect_output(outputs_collections, sc, outputs)


@export("contrib.layers.embed_sequence")
def embed_sequence(
    ids: Any,
    vocab_size: int | None = None,
    embed_dim: int | None = None,
    unique: bool = False,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool = True,
    scope: Any = None,
    reuse: bool | None = None,
) -> Tensor:
    """Rows of the variable `embeddings` for ids `[batch, length]`: `[batch, length, embed_dim]`.

    Args:
        ids: integers below `vocab_size`.
        vocab_size, embed_dim: the shape of the variable; not needed with `reuse`.
        unique: look each id up once only.
        initializer, regularizer, trainable: of the variable.
        scope: variable scope.
        reuse: whether the variable is there already.

    Raises:
        ValueError: a size is not given.
    """
    if not (reuse or (vocab_size and embed_dim)):
        raise ValueError(
            "Must specify vocab size and embedding dimension when not reusing. Got "
            f"vocab_size={vocab_size} and embed_dim={embed_dim}"
        )
    with variable_scope(scope, "EmbedSequence", [ids], reuse=reuse):
        shape = None if reuse and not vocab_size else [vocab_size, embed_dim]
        embeddings = model_variable(
            "embeddings",
            shape=shape,
            initializer=initializer,
            regularizer=regularizer,
            trainable=trainable,
        )
        if not unique:
            return embedding_lookup(embeddings, ids)
        ids = convert_to_tensor(ids)
        distinct, places = unique_of(reshape(ids, [-1]))
        rows = gather(embedding_lookup(embeddings, distinct), places)
        return reshape(rows, [*(ids.shape.as_list()), embed_dim])


@shown("unit_norm")
def unit_norm(inputs: Any, dim: int, epsilon: float = 1e-7, scope: str | None = None) -> Tensor:
    """The inputs divided by their L2 norm along the dimension `dim`.

    Raises:
        ValueError: the rank is not known, or there is no such dimension.
    """
    with name_scope(scope, "UnitNorm", [inputs]):
        inputs = convert_to_tensor(inputs)
        if inputs.shape.ndims is None:
            raise ValueError("The input rank must be known.")
        if not 0 <= dim < inputs.shape.ndims:
            raise ValueError(f"dim must be positive but smaller than the input rank, got {dim}.")
        total = reduce_sum(square(inputs), dim, keepdims=True)
        return inputs * rsqrt(maximum(total, epsilon))


@shown("softmax")
def softmax(logits: Any, scope: str | None = None) -> Tensor:
    """Probabilities along the last dimension, whatever the rank."""
    with name_scope(scope, "softmax", [logits]):
        logits = convert_to_tensor(logits)
        flat = reshape(logits, [-1, logits.shape.as_list()[-1]])
        outputs = reshape(nn.softmax(flat), shape_of(logits))
        outputs.set_shape(logits.shape)
        return outputs


@export("contrib.layers.repeat", "contrib.slim.repeat")
def repeat(inputs: Any, repetitions: int, layer: Any, *args: Any, **kwargs: Any) -> Any:
    """The output of `layer`, used `repetitions` times in turn, in scopes `layer_1`, `layer_2`."""
    scope = kwargs.pop("scope", None)
    with variable_scope(scope, "Repeat", [inputs]):
        inputs = convert_to_tensor(inputs)
        scope = scope or getattr(layer, "__name__", None) or layer.func.__name__
        for i in range(repetitions):
            inputs = layer(inputs, *args, scope=f"{scope}_{i + 1}", **kwargs)
        return inputs


@export("contrib.layers.stack", "contrib.slim.stack")
def stack(inputs: Any, layer: Any, stack_args: Any, **kwargs: Any) -> Any:
    """The output of `layer`, used once for each of `stack_args`, in scopes `layer_1`, ..."""
    scope = kwargs.pop("scope", None)
    if not isinstance(stack_args, list | tuple):
        raise TypeError("stack_args need to be a list or tuple")
    with variable_scope(scope, "Stack", [inputs]):
        inputs = convert_to_tensor(inputs)
        scope = scope or getattr(layer, "__name__", None) or layer.func.__name__
        for i, given in enumerate(stack_args):
            given = given if isinstance(given, list | tuple) else [given]
            inputs = layer(inputs, *given, scope=f"{scope}_{i + 1}", **kwargs)
        return inputs
