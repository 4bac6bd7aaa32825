"""Tables of programs: filled once from tensors or files, then looked up.

What fills them stands in the collection TABLE_INITIALIZERS, for `tf.tables_initializer`.
"""

from __future__ import annotations

import uuid
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, int64, string
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.control import init_scope
from tfsession.ops.lookup import check_types
from tfsession.ops.ragged_tensor import RaggedTensor


@export("contrib.lookup.LookupInterface", "python.ops.lookup_ops.LookupInterface")
class LookupInterface:
    """What all tables have: dtypes, a name, `lookup` and `size`."""

    def __init__(self, key_dtype: Any, value_dtype: Any) -> None:
        self._key_dtype = as_dtype(key_dtype)
        self._value_dtype = as_dtype(value_dtype)
        self._resource_handle: Tensor | None = None
        self._table_name: str | None = None

    @property
    def key_dtype(self) -> DType:
        """The dtype of the keys."""
        return self._key_dtype

    @property
    def value_dtype(self) -> DType:
        """The dtype of the values."""
        return self._value_dtype

    @property
    def name(self) -> str | None:
        """The name of the table's operation, without its scopes."""
        return self._table_name

    @property
    def resource_handle(self) -> Tensor | None:
        """The handle, a resource scalar."""
        return self._resource_handle

    def size(self, name: str | None = None) -> Tensor:
        """The number of entries, int64."""
        raise NotImplementedError

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of keys."""
        raise NotImplementedError

    def __getitem__(self, keys: Any) -> Any:
        return self.lookup(keys)

    def _scope(self, name: str | None, what: str, *values: Any) -> Any:
        handle = [] if self._resource_handle is None else self._resource_handle
        graph = graph_of([handle, *values])
        return graph.name_scope(f"{self.name}_{what}" if name is None else name)

    def _checked(self, keys: Any) -> Any:
        """Keys of the right dtype: a Tensor, a SparseTensor or a RaggedTensor."""
        if not isinstance(keys, SparseTensor | RaggedTensor):
            keys = convert_to_tensor(keys, name="keys")
        if keys.dtype.base_dtype != self._key_dtype:
            raise TypeError(
                f"Dtype of argument `keys` must be {self._key_dtype}, received: {keys.dtype}"
            )
        return keys


def values_of(keys: Any) -> Any:
    """The tensor that holds the keys of a composite."""
    return keys.values if isinstance(keys, SparseTensor | RaggedTensor) else keys


def like(keys: Any, values: Any) -> Any:
    """The values, composed as the keys are."""
    if isinstance(keys, SparseTensor):
        return SparseTensor(keys.indices, values, keys.dense_shape)
    return keys.with_values(values) if isinstance(keys, RaggedTensor) else values


class InitializableLookupTableBase(LookupInterface):
    """A table that an initializer fills.

    Args:
        default_value: the value of keys that are not there, a scalar.
        initializer: what fills it.
    """

    def __init__(self, default_value: Any, initializer: Any) -> None:
        super().__init__(initializer.key_dtype, initializer.value_dtype)
        self._default_value: Tensor = convert_to_tensor(default_value, self._value_dtype)
        self._default_value.get_shape().merge_with(TensorShape([]))
        self._initializer = initializer
        with init_scope():
            self._resource_handle = self._create_resource()
        if get_default_graph()._get_control_flow_context() is not None:
            with init_scope():
                self._init_op = self._initialize()
        else:
            self._init_op = self._initialize()

    def _create_resource(self) -> Tensor:
        raise NotImplementedError

    def _initialize(self) -> Operation:
        result: Operation = self._initializer.initialize(self)
        return result

    @property
    def initializer(self) -> Operation:
        """The operation that fills the table."""
        return self._init_op

    @property
    def init(self) -> Operation:
        """Older name of `initializer`."""
        return self.initializer

    @property
    def default_value(self) -> Tensor:
        """The value of keys that are not there."""
        return self._default_value

    def size(self, name: str | None = None) -> Tensor:
        """The number of entries, int64."""
        with self._scope(name, "Size"):
            result: Tensor = create_op("LookupTableSizeV2", [self._resource_handle])
            return result

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of keys, the default value for those that are not there.

        Args:
            keys: a Tensor, a SparseTensor or a RaggedTensor.
            name: name scope of the operation.

        Raises:
            TypeError: keys of another dtype.
        """
        keys = self._checked(keys)
        tensor = values_of(keys)
        with self._scope(name, "Lookup", tensor, self._default_value):
            inputs = [self._resource_handle, tensor, self._default_value]
            values = create_op("LookupTableFindV2", inputs)
        values.set_shape(tensor.get_shape())
        return like(keys, values)


@export("lookup.StaticHashTable")
class StaticHashTable(InitializableLookupTableBase):
    """A table that is filled once, from tensors or a file, and does not change any more.

    Args:
        initializer: a KeyValueTensorInitializer or a TextFileInitializer.
        default_value: the value of keys that are not there.
        name: name of the operation.
        experimental_is_anonymous: share it with nobody; here no table is found by a name that
            was not given to it.
    """

    def __init__(
        self,
        initializer: Any,
        default_value: Any,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ) -> None:
        self._shared_name = initializer._shared_name or f"hash_table_{uuid.uuid4()}"
        self._name = name or "hash_table"
        super().__init__(default_value, initializer)

    def _create_resource(self) -> Tensor:
        attrs = {
            "shared_name": self._shared_name,
            "key_dtype": self._key_dtype,
            "value_dtype": self._value_dtype,
        }
        table: Tensor = create_op("HashTableV2", (), attrs, self._name)
        self._table_name = table.op.name.rpartition("/")[2]
        return table

    def export(self, name: str | None = None) -> tuple[Tensor, Tensor]:
        """All keys, and their values."""
        with self._scope(name, "Export"):
            attrs = {"Tkeys": self._key_dtype, "Tvalues": self._value_dtype}
            keys, values = create_op("LookupTableExportV2", [self._resource_handle], attrs)
        values.set_shape(keys.get_shape().concatenate(self._default_value.get_shape()))
        return keys, values


@export("contrib.lookup.HashTable", "python.ops.lookup_ops.HashTable")
class HashTable(StaticHashTable):
    """The StaticHashTable of tf.contrib: tables of one `shared_name` are one."""

    def __init__(
        self,
        initializer: Any,
        default_value: Any,
        shared_name: str | None = None,
        name: str | None = None,
    ) -> None:
        self._given_name = shared_name
        super().__init__(initializer, default_value, name)

    def _create_resource(self) -> Tensor:
        self._shared_name = self._given_name or self._shared_name
        return super()._create_resource()


# --- what fills tables ----------------------------------------------------------------------------


class TableInitializerBase:
    """What fills a table; `initialize(table)` gives the operation."""

    _shared_name = ""

    def __init__(self, key_dtype: Any, value_dtype: Any) -> None:
        self._key_dtype = as_dtype(key_dtype)
        self._value_dtype = as_dtype(value_dtype)

    @property
    def key_dtype(self) -> DType:
        """The dtype of the keys."""
        return self._key_dtype

    @property
    def value_dtype(self) -> DType:
        """The dtype of the values."""
        return self._value_dtype

    def initialize(self, table: Any) -> Operation:
        """The operation that fills the table."""
        raise NotImplementedError


@export(
    "lookup.KeyValueTensorInitializer",
    "contrib.lookup.KeyValueTensorInitializer",
    "python.ops.lookup_ops.KeyValueTensorInitializer",
)
class KeyValueTensorInitializer(TableInitializerBase):
    """Fills a table from two vectors.

    Args:
        keys: the keys; none may come twice with different values.
        values: as many values.
        key_dtype: dtype of the keys, if they are no tensor.
        value_dtype: dtype of the values, if they are no tensor.
        name: name scope of the operation.
    """

    def __init__(
        self,
        keys: Any,
        values: Any,
        key_dtype: Any = None,
        value_dtype: Any = None,
        name: str | None = None,
    ) -> None:
        if get_default_graph()._get_control_flow_context() is not None:
            with init_scope():
                self._convert(keys, values, key_dtype, value_dtype)
        else:
            self._convert(keys, values, key_dtype, value_dtype)
        self._name = "key_value_init" if name is None else name
        super().__init__(self._keys.dtype, self._values.dtype)

    def _convert(self, keys: Any, values: Any, key_dtype: Any, value_dtype: Any) -> None:
        self._keys = convert_to_tensor(keys, key_dtype, name="keys")
        self._values = convert_to_tensor(values, value_dtype, name="values")

    def initialize(self, table: Any) -> Operation:
        """The operation that fills the table; it stands in TABLE_INITIALIZERS.

        Raises:
            TypeError: the table has other dtypes.
        """
        check_types(table, self._keys.dtype, self._values.dtype)
        graph = table.resource_handle.graph
        with graph.as_default(), graph.name_scope(self._name):
            inputs = [table.resource_handle, self._keys, self._values]
            op: Operation = create_op("LookupTableImportV2", inputs)
        graph.add_to_collection(GraphKeys.TABLE_INITIALIZERS, op)
        return op


@export(
    "lookup.TextFileIndex",
    "contrib.lookup.TextFileIndex",
    "python.ops.lookup_ops.TextFileIndex",
)
class TextFileIndex:
    """What stands for a key or a value instead of a column of a file."""

    WHOLE_LINE = -2
    LINE_NUMBER = -1


def _check_index(kind: str, index: int, dtype: DType) -> None:
    if index < -2:
        raise ValueError(f"`{kind}_index` should be >= -2, received: {index}")
    if index == TextFileIndex.LINE_NUMBER and dtype != int64:
        raise ValueError(
            f"`{kind}_dtype` must be int64 if `{kind}_index` is {index}, received: {dtype}"
        )
    if index == TextFileIndex.WHOLE_LINE and not dtype.is_integer and dtype != string:
        raise ValueError(
            f"`{kind}_dtype` should be either integer or string for `{kind}_index` {index}, "
            f"received: {dtype}"
        )


@export(
    "lookup.TextFileInitializer",
    "contrib.lookup.TextFileInitializer",
    "python.ops.lookup_ops.TextFileInitializer",
)
class TextFileInitializer(TableInitializerBase):
    """Fills a table from a text file, one entry a line.

    Args:
        filename: the path, a text or a string scalar.
        key_dtype: dtype of the keys.
        key_index: the column of the keys, from 0 on, or one of TextFileIndex.
        value_dtype: dtype of the values.
        value_index: the column of the values, from 0 on, or one of TextFileIndex.
        vocab_size: how many lines to read; all when None.
        delimiter: the byte between columns.
        name: name scope of the operation.
        value_index_offset: what to add to line numbers that are values.

    Raises:
        ValueError: columns, dtypes or sizes that cannot be.

    Filling fails with InvalidArgumentError for lines with too few columns, empty lines, fields that
    are no numbers and files with fewer lines than `vocab_size`, with NotFoundError where there is
    no file, and with FailedPreconditionError for keys with two values.
    """

    def __init__(
        self,
        filename: Any,
        key_dtype: Any,
        key_index: int,
        value_dtype: Any,
        value_index: int,
        vocab_size: int | None = None,
        delimiter: str = "\t",
        name: str | None = None,
        value_index_offset: int = 0,
    ) -> None:
        if not isinstance(filename, Tensor) and not filename:
            raise ValueError("`filename` argument required for tf.lookup.TextFileInitializer")
        super().__init__(key_dtype, value_dtype)
        _check_index("key", key_index, self._key_dtype)
        _check_index("value", value_index, self._value_dtype)
        if vocab_size is not None and vocab_size <= 0:
            raise ValueError(f"`vocab_size` should be > 0, received: {vocab_size}")
        with init_scope(), get_default_graph().device("CPU"):
            self._filename = convert_to_tensor(filename, string, name="asset_path")
        self._name = name
        self._attrs = {
            "key_index": key_index,
            "value_index": value_index,
            "vocab_size": -1 if vocab_size is None else vocab_size,
            "delimiter": delimiter,
            "offset": value_index_offset,
        }
        parts = [str(vocab_size)] if vocab_size else []
        parts += [str(key_index), str(value_index)]
        parts += [str(value_index_offset)] if value_index_offset else []
        # Tables of one file are one.
        self._shared_name = "_".join(["hash_table", str(filename), *parts])

    def initialize(self, table: Any) -> Operation:
        """The operation that fills the table; it stands in TABLE_INITIALIZERS.

        Raises:
            TypeError: the table has other dtypes.
        """
        check_types(table, self.key_dtype, self.value_dtype)
        graph = table.resource_handle.graph
        scope = "text_file_init" if self._name is None else self._name
        with graph.as_default(), graph.name_scope(scope):
            inputs = [table.resource_handle, self._filename]
            op: Operation = create_op("InitializeTableFromTextFileV2", inputs, self._attrs)
        graph.add_to_collection(GraphKeys.TABLE_INITIALIZERS, op)
        if self._filename.op.type == "Const":
            graph.add_to_collection(GraphKeys.ASSET_FILEPATHS, self._filename)
        return op


@export(
    "contrib.lookup.TextFileStringTableInitializer",
    "python.ops.lookup_ops.TextFileStringTableInitializer",
)
class TextFileStringTableInitializer(TextFileInitializer):
    """Fills a table from line numbers to lines of a file."""

    def __init__(
        self,
        filename: Any,
        key_column_index: int = TextFileIndex.LINE_NUMBER,
        value_column_index: int = TextFileIndex.WHOLE_LINE,
        vocab_size: int | None = None,
        delimiter: str = "\t",
        name: str = "text_file_string_table_init",
    ) -> None:
        super().__init__(
            filename, int64, key_column_index, string, value_column_index, vocab_size, delimiter,
            name,
        )  # fmt: skip


@export(
    "contrib.lookup.TextFileIdTableInitializer",
    "python.ops.lookup_ops.TextFileIdTableInitializer",
)
class TextFileIdTableInitializer(TextFileInitializer):
    """Fills a table from lines of a file to line numbers."""

    def __init__(
        self,
        filename: Any,
        key_column_index: int = TextFileIndex.WHOLE_LINE,
        value_column_index: int = TextFileIndex.LINE_NUMBER,
        vocab_size: int | None = None,
        delimiter: str = "\t",
        name: str = "text_file_id_table_init",
        key_dtype: Any = string,
    ) -> None:
        super().__init__(
            filename, key_dtype, key_column_index, int64, value_column_index, vocab_size,
            delimiter, name,
        )  # fmt: skip


def shown_filename(filename: Any) -> Any:
    """The path as errors tell it."""
    if isinstance(filename, Tensor):
        value = get_static_value(filename)
        return "?" if value is None else value
    return filename
