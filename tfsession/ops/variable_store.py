"""The variables of a graph by name: what `get_variable` finds or makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, float32, string
from tfsession.core.shape import TensorShape, to_shape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import zeros
from tfsession.ops.deferred_tensor import DeferredTensor
from tfsession.ops.initializers import GlorotUniform
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.partitioner import PartitionInfo, call_partitioner, sliced_axis, slices_of
from tfsession.ops.save_slice_info import SaveSliceInfo
from tfsession.ops.slice import slice_
from tfsession.ops.variables import Variable, VariableAggregation, VariableSynchronization

STORE_KEY = ("__variable_store",)


class VariableStore:
    """The variables of one graph by name."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.partitioned: dict[str, PartitionedVariable] = {}
        self.scope_counts: dict[str, int] = {}

    def open_scope(self, name: str) -> None:
        """Count a scope that is entered, for the default names of others."""
        self.scope_counts[name] = self.scope_counts.get(name, 0) + 1

    def close_subscopes(self, name: str) -> None:
        """Forget the scopes in one that is left: their names may come again."""
        prefix = name + "/" if name else ""
        for key in self.scope_counts:
            if key.startswith(prefix):
                self.scope_counts[key] = 0

    def get_variable(self, name: str, custom_getter: Any = None, **arguments: Any) -> Any:
        """The variable of that name, asked of the custom getter first."""
        if custom_getter is None:
            return self._getter(name, **arguments)
        # By keyword, as getters were always called: their signatures rely on it.
        if not _takes_keyword(custom_getter, "constraint"):
            del arguments["constraint"]
        return custom_getter(getter=self._getter, name=name, **arguments)

    def _getter(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = float32,
        initializer: Any = None,
        regularizer: Any = None,
        reuse: Any = None,
        trainable: bool | None = None,
        collections: Sequence[str] | None = None,
        caching_device: Any = None,
        partitioner: Any = None,
        validate_shape: bool = True,
        use_resource: bool | None = None,
        constraint: Any = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
        partition_info: PartitionInfo | None = None,
    ) -> Any:
        is_scalar = isinstance(shape, Sequence) and not shape
        if (partitioner is not None and not is_scalar) or (
            reuse is True and partitioner is None and name in self.partitioned
        ):
            return self._partitioned(
                name,
                shape,
                as_dtype(dtype),
                initializer,
                reuse,
                partitioner,
                regularizer=regularizer,
                trainable=trainable,
                collections=collections,
                caching_device=caching_device,
                validate_shape=validate_shape,
                use_resource=use_resource,
                constraint=constraint,
                synchronization=synchronization,
                aggregation=aggregation,
            )
        if f"{name}/part_0" in self.variables:
            raise ValueError(
                "No partitioner was provided, but a partitioned version of the variable was found: "
                f"{name}/part_0. Perhaps a variable of the same name was already created with "
                "partitioning?"
            )
        dtype = as_dtype(dtype)
        wanted = to_shape(shape) if shape is not None else None
        if name in self.variables:
            if reuse is False or reuse is None:
                raise ValueError(_exists_text(self.variables[name], name))
            return self._existing(name, shape, wanted, dtype)
        if reuse is True:
            raise ValueError(
                f"Variable {name} does not exist, or was not created with tf.get_variable(). Did "
                "you mean to set reuse=tf.AUTO_REUSE in VarScope?"
            )
        variable = Variable(
            initial_value=_initial_value(name, initializer, shape, wanted, dtype, partition_info),
            trainable=trainable,
            collections=collections,
            validate_shape=validate_shape,
            caching_device=caching_device,
            name=name,
            dtype=dtype if not isinstance(initializer, Tensor) else None,
            constraint=constraint,
            use_resource=use_resource,
            synchronization=synchronization,
            aggregation=aggregation,
        )
        self.variables[name] = variable
        if regularizer is not None:
            self._regularize(variable, name, regularizer)
        return variable

    def _partitioned(
        self,
        name: str,
        shape: Any,
        dtype: DType,
        initializer: Any,
        reuse: Any,
        partitioner: Callable[..., Any] | None,
        **options: Any,
    ) -> PartitionedVariable:
        """The variable of slices called `name`: a new one, or the one made before."""
        if name in self.variables:
            raise ValueError(
                "A partitioner was provided, but an unpartitioned version of the variable was "
                f"found: {name}.  Perhaps a variable of the same name was already created without "
                "partitioning?"
            )
        whole = TensorShape(shape)
        if isinstance(initializer, Tensor):
            whole = whole.merge_with(initializer.shape)
        partitions = None if partitioner is None else call_partitioner(partitioner, whole, dtype)
        if name in self.partitioned:
            return self._existing_partitioned(name, whole, dtype, reuse, partitions)
        if reuse is True or partitions is None:
            raise ValueError(
                f"PartitionedVariable {name} does not exist, or was not created with "
                "tf.get_variable(). Did you mean to set reuse=False or reuse=tf.AUTO_REUSE in "
                "VarScope?"
            )
        axis, count = sliced_axis(partitions)
        self._check_slices(name, count)
        sizes = whole.as_list()
        slices = []
        for i, (offset, part) in enumerate(slices_of(sizes, count, axis)):
            full_name = f"{name}/part_{i}"
            initial, part_shape = initializer, part
            if initializer is not None and not callable(initializer):
                with name_scope(f"{full_name}/PartitionedInitializer"):
                    value = convert_to_tensor(initializer, dtype)
                    initial, part_shape = slice_(value, offset, part), None
                dtype = initial.dtype.base_dtype
            variable = self._getter(
                full_name,
                part_shape,
                dtype,
                initial,
                reuse=reuse,
                partition_info=PartitionInfo(sizes, offset),
                **options,
            )
            variable._set_save_slice_info(SaveSliceInfo(name, sizes, offset, part))
            slices.append(variable)
        made = PartitionedVariable(name, whole, dtype, slices, partitions)
        self.partitioned[name] = made
        return made

    def _check_slices(self, name: str, count: int) -> None:
        """Refuse to reuse slices that were made by another partitioner."""
        if f"{name}/part_0" not in self.variables:
            return
        found = f"Partitioner returned {count} shards, and shard {name}/part_0 was found, but "
        different = "Partitioner returned a different partitioning than what was already found.  "
        if f"{name}/part_{count - 1}" not in self.variables:
            raise ValueError(f"{different}{found}{name}/part_{count - 1} was not.")
        if f"{name}/part_{count}" in self.variables:
            raise ValueError(f"{different}{found}so was the extra shard {name}/part_{count}.")

    def _existing_partitioned(
        self, name: str, shape: TensorShape, dtype: DType, reuse: Any, partitions: Any
    ) -> PartitionedVariable:
        if reuse is False:
            raise ValueError(
                f"Partitioned variable with name {name} already exists. Did you mean to set "
                "reuse=True or reuse=tf.AUTO_REUSE in VarScope?"
            )
        found = self.partitioned[name]
        wanted = [("shape", shape, found.shape, shape.is_compatible_with(found.shape))]
        wanted += [("dtype", dtype.name, found.dtype.name, dtype.is_compatible_with(found.dtype))]
        if partitions is not None:
            own = found._get_partitions()
            wanted.append(("partitions", partitions, own, partitions == own))
        for what, given, had, fits in wanted:
            if not fits:
                raise ValueError(
                    f"Trying to reuse partitioned variable {name}, but specified {what} {given} "
                    f"and found {what} {had}."
                )
        return found

    def _existing(self, name: str, shape: Any, wanted: Any, dtype: DType) -> Any:
        found = self.variables[name]
        if shape is not None and not TensorShape.from_tuple(wanted).is_compatible_with(found.shape):
            raise ValueError(
                f"Trying to share variable {name}, but specified shape "
                f"{TensorShape.from_tuple(wanted)} and found shape {found.shape}."
            )
        if not dtype.is_compatible_with(found.dtype.base_dtype):
            raise ValueError(
                f"Trying to share variable {name}, but specified dtype {dtype.name} and found "
                f"dtype {found.dtype.name}."
            )
        return found

    def _regularize(self, variable: Any, name: str, regularizer: Callable[[Any], Any]) -> None:
        graph = get_default_graph()

        def loss() -> Any:
            with graph.colocate_with(variable.op), graph.name_scope(f"{name}/Regularizer/"):
                return regularizer(variable)

        # Whether there is a loss shows only when it is built, outside its scope at first:
        # default seeds of operations made later count on every one of these operations.
        if regularizer(variable) is not None:
            graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, DeferredTensor(loss))


def _exists_text(variable: Any, name: str) -> str:
    lines = [
        f"Variable {name} already exists, disallowed. Did you mean to set reuse=True or "
        "reuse=tf.AUTO_REUSE in VarScope? Originally defined at:\n"
    ]
    lines.extend(
        f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        for frame in list(variable.op.traceback)[-3:]
    )
    return "\n".join(lines) + "\n"


def _initial_value(
    name: str,
    initializer: Any,
    shape: Any,
    wanted: Any,
    dtype: DType,
    partition_info: PartitionInfo | None,
) -> Any:
    """The initial value of a new variable, or the function that makes it."""
    if initializer is None:
        if shape is None:
            raise ValueError(
                f"Variable {name} did not get an initializer, so its `shape` argument must be "
                "specified."
            )
        if dtype.is_floating:
            initializer = GlorotUniform()
        elif dtype.is_integer or dtype.is_unsigned or dtype.is_bool or dtype is string:
            return lambda: zeros(wanted, dtype)
        else:
            raise ValueError(f"An initializer for variable {name} of {dtype} is required")
    if isinstance(initializer, type):
        initializer = initializer()
    if not callable(initializer):
        if shape is not None:
            raise ValueError("If initializer is a constant, do not specify shape.")
        return initializer
    if shape is None and _takes_no_arguments(initializer):
        return initializer
    if wanted is None or None in wanted:
        raise ValueError(
            "The initializer passed is not valid. It should be a callable with no arguments and "
            "the shape should not be provided or an instance of `tf.keras.initializers.*' and "
            "`shape` should be fully defined."
        )
    if _takes_no_arguments(initializer):
        return initializer
    if partition_info is not None and _takes_keyword(initializer, "partition_info"):
        return lambda: initializer(list(wanted), dtype=dtype, partition_info=partition_info)
    return lambda: initializer(list(wanted), dtype=dtype)


def _takes_keyword(function: Any, name: str) -> bool:
    """Whether a function takes a keyword argument; a callable whose signature is hidden does."""
    try:
        parameters = signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _takes_no_arguments(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_argcount == 0 and not code.co_flags & 0x04


def variable_store(graph: Graph) -> VariableStore:
    """The store of a graph, made when absent."""
    stores = graph.get_collection_ref(STORE_KEY)
    if not stores:
        stores.append(VariableStore())
    store: VariableStore = stores[0]
    return store
