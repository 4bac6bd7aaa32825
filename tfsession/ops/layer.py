"""Layers: functions of tensors that keep variables; `tf.layers` is made of them.

A layer makes its variables when it is first called, in a variable scope of its own, and takes the
same ones at each further call.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tfsession.core import nest
from tfsession.core.dtypes import as_dtype, float32
from tfsession.core.exports import export, export_value, lookup
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.cond import cond
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.variable_scope import VariableScope, get_variable, variable_scope
from tfsession.ops.variables import Variable, VariableAggregation, VariableSynchronization

# How many layers without a name each graph has of each kind.
_counts: WeakKeyDictionary[Graph, dict[str, int]] = WeakKeyDictionary()


@export("layers.InputSpec")
class InputSpec:
    """What a layer demands of an input: rank, least and greatest rank, sizes of axes, dtype."""

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, Any] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else as_dtype(dtype).name
        self.shape = None if shape is None else TensorShape(shape)
        self.ndim = ndim if self.shape is None else self.shape.ndims
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def check(self, x: Tensor, index: int, layer: str) -> None:
        """Raise ValueError unless the tensor is as demanded, as far as that is known."""
        start = f'Input {index} of layer "{layer}" is incompatible with the layer: '
        shape = x.shape
        full = f"Full shape received: {shape}"
        if shape.ndims is None:
            return
        if self.ndim is not None and shape.ndims != self.ndim:
            raise ValueError(f"{start}expected ndim={self.ndim}, found ndim={shape.ndims}. {full}")
        if self.max_ndim is not None and shape.ndims > self.max_ndim:
            raise ValueError(f"{start}expected max_ndim={self.max_ndim}, found ndim={shape.ndims}")
        if self.min_ndim is not None and shape.ndims < self.min_ndim:
            raise ValueError(
                f"{start}expected min_ndim={self.min_ndim}, found ndim={shape.ndims}. {full}"
            )
        if self.dtype is not None and x.dtype.base_dtype.name != self.dtype:
            raise ValueError(f"{start}expected dtype={self.dtype}, found dtype={x.dtype}")
        sizes = shape.as_list()
        for axis, size in self.axes.items():
            if size is not None and sizes[axis] not in (size, None):
                raise ValueError(
                    f"{start}expected axis {axis} of input shape to have value {size}, but "
                    f"received input with shape {shape}"
                )
        if self.shape is not None and not shape.is_compatible_with(self.shape):
            raise ValueError(f"{start}expected shape={self.shape}, found shape={shape}")


def smart_cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`cond`, but one branch alone where `pred` is known now."""
    known = known_truth(pred)
    if known is not None:
        return true_fn() if known else false_fn()
    return cond(pred, true_fn, false_fn)


def known_truth(pred: Any) -> bool | None:
    """The truth of a Python value or a constant; None where only a run tells."""
    if isinstance(pred, Tensor):
        value = get_static_value(pred)
        return None if value is None else bool(value)
    return None if hasattr(pred, "_as_graph_element") else bool(pred)


def activation_of(activation: Any) -> Callable[[Any], Any] | None:
    """The function for an activation, which may be given by its name in `tf.nn`.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(activation, str):
        function: Callable[[Any], Any] | None = activation
        return function
    if activation == "linear":
        return None
    try:
        return lookup(f"nn.{activation}")  # type: ignore[no-any-return]
    except KeyError:
        raise ValueError(f"Unknown activation function: {activation}") from None


@export("layers.Layer")
class Layer:
    """Base of layers. A subclass defines `build(input_shape)`, `call(inputs)`, or both.

    Args:
        trainable: whether its variables are trained.
        name: its name, and that of its variable scope.
        dtype: dtype of its variables; that of its first input unless told.
        activity_regularizer: function of the output that gives a loss, or None for none.
    """

    def __init__(
        self,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        activity_regularizer: Any = None,
        _scope: Any = None,
        _reuse: Any = None,
    ) -> None:
        self.trainable = trainable
        self.built = False
        self.input_spec: InputSpec | None = None
        self._dtype = None if dtype is None else as_dtype(dtype)
        self._activity_regularizer = activity_regularizer
        self._reuse = _reuse
        self._trainable_weights: list[Any] = []
        self._non_trainable_weights: list[Any] = []
        self._losses: list[Any] = []
        self._updates: list[Any] = []
        self._base_name = name.name if isinstance(name, VariableScope) else name
        if name and not isinstance(name, VariableScope):
            self._name = name
        else:
            kind = _snake_case(type(self).__name__)
            self._name = _unique_name(kind)
            self._base_name = self._base_name or kind
        self._scope: VariableScope | None = None
        self._current_scope: VariableScope | None = None
        if _scope:
            with variable_scope(_scope) as captured:
                self._scope = captured

    # --- what it is -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name given, or one made of the class's."""
        return str(self._name)

    @property
    def dtype(self) -> Any:
        """Dtype of the variables, None until the first call tells it."""
        return None if self._dtype is None else self._dtype.name

    @property
    def scope_name(self) -> str:
        """Name of its variable scope; ValueError before the first call."""
        if self._scope is None:
            raise ValueError(
                f'No name available for layer scope because the layer "{self._name}" has not been '
                "used yet. The scope name  is determined the first time the layer instance is "
                "called. You must therefore call the layer before querying `scope_name`."
            )
        return self._scope.name

    @property
    def graph(self) -> None:
        """None: a layer does not keep its graph."""

    @property
    def trainable_weights(self) -> list[Any]:
        """The variables that are trained."""
        return list(self._trainable_weights) if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The variables that are not trained."""
        if self.trainable:
            return list(self._non_trainable_weights)
        return self._trainable_weights + self._non_trainable_weights

    @property
    def weights(self) -> list[Any]:
        """All variables, the trained ones first."""
        return self.trainable_weights + self.non_trainable_weights

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that are trained."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The variables that are not trained."""
        return self.non_trainable_weights

    variables = weights

    @property
    def losses(self) -> list[Any]:
        """Losses of regularizers."""
        return list(self._losses)

    @property
    def updates(self) -> list[Any]:
        """Operations to be run while training, such as those of moving averages."""
        return list(self._updates)

    def count_params(self) -> int:
        """The number of elements of all variables; ValueError before the first call."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on {self._name}, but the layer isn't built."
            )
        return sum(v.shape.num_elements() for v in self.weights)

    # --- what subclasses say ----------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the variables; a subclass says which."""
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The output; a subclass says what it is."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        """The shape of the output for a shape of the input, where the subclass tells it."""
        raise NotImplementedError(f"{type(self).__name__} does not tell the shape of its output.")

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add losses (tensors, or functions that make them) to `losses` and the collection."""
        made = [loss() if callable(loss) else loss for loss in nest.flatten(losses)]
        made = [loss for loss in made if loss is not None]
        self._losses += made
        _add_to_collection(made, GraphKeys.REGULARIZATION_LOSSES)

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Add operations to be run while training; after the call they are in UPDATE_OPS."""
        for update in nest.flatten(updates):
            made = update() if callable(update) else update
            self._updates.append(made.op if hasattr(made, "op") else made)

    def add_weight(
        self,
        name: str,
        shape: Any,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        use_resource: bool | None = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
        partitioner: Any = None,
    ) -> Any:
        """Make a variable in the layer's scope, or take the one that is there; arguments as in
        `tf.get_variable`.

        Raises:
            ValueError: `trainable` with ON_READ, or what `tf.get_variable` raises.
        """
        if synchronization == VariableSynchronization.ON_READ:
            if trainable:
                raise ValueError(
                    "Synchronization value can be set to VariableSynchronization.ON_READ only for "
                    "non-trainable variables. You have specified trainable=True and "
                    "synchronization=VariableSynchronization.ON_READ."
                )
            trainable = False
        trained = (trainable is None or trainable) and self.trainable
        self._set_scope()
        graph = get_default_graph()
        before = {id(v) for v in graph.get_collection(GraphKeys.GLOBAL_VARIABLES)}
        reuse = self.built or self._reuse
        with variable_scope(self._scope, reuse=reuse, auxiliary_name_scope=False) as scope:
            self._current_scope = scope
            with graph.name_scope(scope.original_name_scope):
                variable = get_variable(
                    name,
                    shape,
                    dtype=as_dtype(dtype or self._dtype or float32),
                    initializer=scope.initializer if initializer is None else initializer,
                    trainable=trained,
                    constraint=constraint,
                    partitioner=partitioner,
                    use_resource=use_resource or scope.use_resource,
                    synchronization=synchronization,
                    aggregation=aggregation,
                )
                if regularizer is not None and id(variable) not in before:
                    with graph.name_scope(f"{name}/Regularizer"):
                        self.add_loss(regularizer(variable))
        kept = self._trainable_weights if trained else self._non_trainable_weights
        if not any(variable is other for other in kept):
            kept.append(variable)
        return variable

    add_variable = add_weight

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy that shares variables and scopes with this one."""
        made = memo[id(self)] = object.__new__(type(self))
        kinds = (Variable, PartitionedVariable, VariableScope, variable_scope)
        shared = [v for v in nest.flatten(list(self.__dict__.values())) if isinstance(v, kinds)]
        memo.update((id(value), value) for value in shared)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    # --- calls ------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The output for `inputs`; makes the variables at the first call."""
        self._set_scope(kwargs.pop("scope", None))
        reuse = True if self.built else self._reuse
        inputs = nest.map_structure(_as_tensor, inputs)
        tensors = [t for t in nest.flatten(inputs) if isinstance(t, Tensor)]
        graph = tensors[0].graph if tensors else get_default_graph()
        known = len(self._updates)
        with (
            graph.as_default(),
            variable_scope(self._scope, reuse=reuse, auxiliary_name_scope=False) as scope,
        ):
            self._current_scope = scope
            with graph.name_scope(scope.original_name_scope):
                self._check(tensors)
                if not self.built:
                    self._build_for(inputs, tensors)
                outputs = self.call(inputs, *args, **kwargs)
                self._regularize(outputs)
            _add_to_collection(self._updates[known:], GraphKeys.UPDATE_OPS)
        return outputs

    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The same as a call."""
        return self(inputs, *args, **kwargs)

    def _check(self, tensors: list[Tensor]) -> None:
        if self.input_spec is not None:
            for index, tensor in enumerate(tensors):
                self.input_spec.check(tensor, index, self.name)

    def _build_for(self, inputs: Any, tensors: list[Tensor]) -> None:
        if self._dtype is None and tensors:
            self._dtype = tensors[0].dtype.base_dtype
        shapes = nest.map_structure(
            lambda x: x.shape if isinstance(x, Tensor) else TensorShape(None), inputs
        )
        self.build(shapes)
        self.built = True
        self._check(tensors)

    def _regularize(self, outputs: Any) -> None:
        if self._activity_regularizer is None:
            return
        with get_default_graph().name_scope("ActivityRegularizer"):
            for output in nest.flatten(outputs):
                loss = self._activity_regularizer(output)
                self.add_loss(loss / cast(shape_of(output)[0], loss.dtype))

    def _set_scope(self, scope: Any = None) -> None:
        if self._scope is not None:
            return
        if self._reuse:
            opened = variable_scope(self._base_name if scope is None else scope)
        else:
            opened = variable_scope(scope, default_name=self._base_name)
        with opened as captured:
            self._scope = captured


def _as_tensor(value: Any) -> Any:
    """Arrays and numbers as tensors; whatever else may be no tensor goes to the layer as it is."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray | float | int) or hasattr(value, "_as_graph_element"):
        return convert_to_tensor(value)
    return value


def _snake_case(name: str) -> str:
    parted = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name))
    return f"private{parted.lower()}" if parted.startswith("_") else parted.lower()


def _unique_name(kind: str) -> str:
    counts = _counts.setdefault(get_default_graph(), {})
    counts[kind] = counts.get(kind, 0) + 1
    return f"{kind}_{counts[kind]}"


def _add_to_collection(items: list[Any], name: str) -> None:
    collection = get_default_graph().get_collection_ref(name)
    known = {id(item) for item in collection}
    collection += [item for item in items if id(item) not in known]


def export_function(
    cls: type[Layer], *names: str, call: tuple[str, ...] = (), order: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """Make and export the function that makes a layer of this class and calls it once.

    Its arguments are `inputs`, those of the class, and `reuse`; the arguments named in `call` go to
    the call, whose defaults they have. `order` names arguments that stand last, in this order.
    """
    own = inspect.signature(cls.__init__).parameters
    parameters = [p for n, p in own.items() if n != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]
    calls = inspect.signature(cls.call).parameters
    parameters += [calls[name] for name in call]
    rest = {p.name: p for p in parameters}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # What the class takes among its other keywords is an argument of the function, too.
    last = [rest.pop(name, inspect.Parameter(name, kind, default=None)) for name in order]
    first = inspect.Parameter("inputs", kind)
    signature = inspect.Signature([first, *rest.values(), *last])

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        inputs = given.pop("inputs")
        called = {name: given.pop(name) for name in call}
        if "reuse" in given:
            given |= {"_reuse": given.pop("reuse"), "_scope": given["name"]}
        return cls(**given)(inputs, **called)

    wraps(cls)(function)
    function.__name__ = function.__qualname__ = names[0].rpartition(".")[2]
    function.__doc__ = (
        f"`{cls.__name__}(...)(inputs)`: makes the layer and calls it; arguments as of "
        f"`tf.layers.{cls.__name__}`.\n\n"
        "    With `reuse=True` it takes the variables that were made under this `name`.\n    "
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    del function.__wrapped__  # type: ignore[attr-defined]
    for name in names:
        export_value(function, name)
    return function
