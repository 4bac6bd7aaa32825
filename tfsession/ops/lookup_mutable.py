"""Tables that change from step to step."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.lookup_tables import LookupInterface


class TableSpec(NamedTuple):
    """One tensor of a checkpoint: what is saved, of which slice, under which name."""

    tensor: Tensor
    slice_spec: str
    name: str

    @property
    def dtype(self) -> Any:
        """The dtype of what is saved."""
        return self.tensor.dtype


class TableSaveable:
    """How a saver writes and reads a table: keys and values, each a tensor of the checkpoint."""

    def __init__(self, table: _ChangingTable, name: str) -> None:
        keys, values = table.export()
        self.op = table
        self.name = name
        self.specs = [
            TableSpec(keys, "", f"{name}-keys"),
            TableSpec(values, "", f"{name}-values"),
        ]

    def restore(self, restored_tensors: Any, restored_shapes: Any) -> Operation:
        """The operation that puts what was read in place of all entries."""
        handle = self.op.resource_handle
        assert handle is not None
        graph = handle.graph
        with graph.name_scope(f"{self.name}_table_restore"), graph.colocate_with(handle.op):
            inputs = [handle, restored_tensors[0], restored_tensors[1]]
            op: Operation = create_op("LookupTableImportV2", inputs)
            return op


class _ChangingTable(LookupInterface):
    """What tables that change have in common."""

    def __init__(
        self, key_dtype: Any, value_dtype: Any, default_value: Any, name: str, checkpoint: bool,
        shared_name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(key_dtype, value_dtype)
        self._name = name
        self._checkpoint = checkpoint
        self._default_value: Tensor = default_value
        self._sharing = {
            "shared_name": shared_name or "",
            # The name of a checkpoint's table is that of its node.
            "use_node_name_sharing": checkpoint and shared_name is None,
        }

    def _made(self, op_type: str, inputs: list[Any], attrs: dict[str, Any]) -> None:
        attrs = {**self._sharing, "value_dtype": self._value_dtype, **attrs}
        handle = create_op(op_type, inputs, attrs, self._name)
        self._resource_handle = handle
        self._table_name = handle.op.name.rpartition("/")[2]
        if self._checkpoint:
            saveable = TableSaveable(self, self._name)
            handle.graph.add_to_collection(GraphKeys.SAVEABLE_OBJECTS, saveable)

    def _create(self, op_type: str, inputs: list[Any], attrs: Any = None) -> Any:
        assert self._resource_handle is not None
        with self._resource_handle.graph.colocate_with(self._resource_handle.op):
            return create_op(op_type, [self._resource_handle, *inputs], attrs)

    def size(self, name: str | None = None) -> Tensor:
        """The number of entries, int64."""
        with self._scope(name, "Size"):
            result: Tensor = self._create("LookupTableSizeV2", [])
            return result

    def _find(self, keys: Any, default: Any, name: str | None) -> Tensor:
        with self._scope(name, "lookup_table_find", keys, default):
            keys = convert_to_tensor(keys, self._key_dtype, name="keys")
            result: Tensor = self._create("LookupTableFindV2", [keys, default])
            return result

    def insert(self, keys: Any, values: Any, name: str | None = None) -> Operation:
        """An operation that gives keys new values; of a key that comes twice the last one counts.

        Args:
            keys: a tensor of any shape.
            values: its shape, followed by that of a value.
            name: name scope of the operation.
        """
        with self._scope(name, "lookup_table_insert", keys, values):
            keys = convert_to_tensor(keys, self._key_dtype, name="keys")
            values = convert_to_tensor(values, self._value_dtype, name="values")
            op: Operation = self._create("LookupTableInsertV2", [keys, values])
            return op

    def remove(self, keys: Any, name: str | None = None) -> Operation:
        """An operation that forgets keys; those that are not there are no error.

        Raises:
            TypeError: keys of another dtype.
        """
        keys = self._checked(keys)
        with self._scope(name, "lookup_table_remove", keys, self._default_value):
            op: Operation = create_op("LookupTableRemoveV2", [self._resource_handle, keys])
            return op

    def export(self, name: str | None = None) -> tuple[Tensor, Tensor]:
        """All keys, a vector, and their values."""
        with self._scope(name, "lookup_table_export_values"):
            attrs = {"Tkeys": self._key_dtype, "Tvalues": self._value_dtype}
            keys, values = self._create("LookupTableExportV2", [], attrs)
            return keys, values


@export("lookup.experimental.MutableHashTable")
class MutableHashTable(_ChangingTable):
    """A table whose entries change from step to step.

    Args:
        key_dtype: dtype of the keys.
        value_dtype: dtype of the values.
        default_value: the value of keys that are not there, a scalar or a vector; all values have
            its shape.
        name: name of the operation.
        checkpoint: keep entries under the name of the node, so that they can be saved.
        experimental_is_anonymous: share it with nobody.
    """

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        name: str = "MutableHashTable",
        checkpoint: bool = True,
        experimental_is_anonymous: bool = False,
    ) -> None:
        self._open(key_dtype, value_dtype, default_value, name, checkpoint, None)

    def _open(
        self, key_dtype: Any, value_dtype: Any, default_value: Any, name: str, checkpoint: bool,
        shared_name: str | None,
    ) -> None:  # fmt: skip
        default = convert_to_tensor(default_value, value_dtype)
        _ChangingTable.__init__(
            self, key_dtype, value_dtype, default, name, checkpoint, shared_name
        )
        shape = default.get_shape()
        attrs: dict[str, Any] = {"key_dtype": self._key_dtype}
        if shape.ndims == 0:
            self._made("MutableHashTableV2", [], attrs)
        else:
            self._made("MutableHashTableOfTensorsV2", [], {**attrs, "value_shape": shape})

    def lookup(
        self, keys: Any, dynamic_default_values: Any = None, name: str | None = None
    ) -> Tensor:
        """The values of keys.

        Args:
            keys: a tensor of any shape.
            dynamic_default_values: a value for each key that is not there, instead of the table's.
            name: name scope of the operation.
        """
        default = self._default_value if dynamic_default_values is None else dynamic_default_values
        return self._find(keys, default, name)


@export("contrib.lookup.MutableHashTable")
class ContribMutableHashTable(MutableHashTable):
    """The MutableHashTable of tf.contrib, which takes a `shared_name`."""

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        shared_name: str | None = None,
        name: str = "MutableHashTable",
        checkpoint: bool = True,
    ) -> None:
        self._open(key_dtype, value_dtype, default_value, name, checkpoint, shared_name)


@export("lookup.experimental.DenseHashTable")
class DenseHashTable(_ChangingTable):
    """A table whose entries change from step to step, with two keys that stand for no entry.

    Args:
        key_dtype: dtype of the keys.
        value_dtype: dtype of the values.
        default_value: the value of keys that are not there; all values have its shape.
        empty_key: a key that is never used.
        deleted_key: another one.
        initial_num_buckets: a power of two, at least 4; this table needs none.
        name: name of the operation.
        checkpoint: keep entries under the name of the node, so that they can be saved.
        experimental_is_anonymous: share it with nobody.
    """

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        empty_key: Any,
        deleted_key: Any,
        initial_num_buckets: int | None = None,
        name: str = "MutableDenseHashTable",
        checkpoint: bool = True,
        experimental_is_anonymous: bool = False,
    ) -> None:
        self._open(
            key_dtype, value_dtype, default_value, empty_key, deleted_key, initial_num_buckets,
            name, checkpoint, None,
        )  # fmt: skip

    def _open(
        self, key_dtype: Any, value_dtype: Any, default_value: Any, empty_key: Any,
        deleted_key: Any, buckets: int | None, name: str, checkpoint: bool,
        shared_name: str | None,
    ) -> None:  # fmt: skip
        default = convert_to_tensor(default_value, value_dtype, name="default_value")
        _ChangingTable.__init__(
            self, key_dtype, value_dtype, default, name, checkpoint, shared_name
        )
        keys = [
            convert_to_tensor(empty_key, key_dtype, name="empty_key"),
            convert_to_tensor(deleted_key, key_dtype, name="deleted_key"),
        ]
        attrs = {"value_shape": default.get_shape(), "initial_num_buckets": buckets}
        self._made("MutableDenseHashTableV2", keys, attrs)

    def lookup(self, keys: Any, name: str | None = None) -> Tensor:
        """The values of keys, a tensor of any shape."""
        return self._find(keys, self._default_value, name)

    def insert_or_assign(self, keys: Any, values: Any, name: str | None = None) -> Operation:
        """As `insert`."""
        return self.insert(keys, values, name)

    def erase(self, keys: Any, name: str | None = None) -> Operation:
        """As `remove`."""
        return self.remove(keys, name)


@export("contrib.lookup.MutableDenseHashTable")
class ContribMutableDenseHashTable(DenseHashTable):
    """The DenseHashTable of tf.contrib, which takes a `shared_name`."""

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        empty_key: Any,
        deleted_key: Any,
        initial_num_buckets: int | None = None,
        shared_name: str | None = None,
        name: str = "MutableDenseHashTable",
        checkpoint: bool = True,
    ) -> None:
        self._open(
            key_dtype, value_dtype, default_value, empty_key, deleted_key, initial_num_buckets,
            name, checkpoint, shared_name,
        )  # fmt: skip
