"""Tables as operations: made, filled, looked up. `lookup_tables.py` has the classes of programs."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, scalar, with_rank, with_rank_at_least
from tfsession.ops.constant import group, no_op

# --- definitions ----------------------------------------------------------------------------------


def _reference_shape(op: Operation) -> list[Shape]:
    """A reference is a vector: container and name."""
    return [(2,)]


def _value_shape(op: Operation, keys: str, values: str) -> tuple[bool, Shape]:
    """Whether the table is known, and the shape of its values."""
    table = op.inputs[0].op
    if not table.type.startswith("Mutable"):
        return False, None
    for asked, own in ((keys, "key_dtype"), (values, "value_dtype")):
        expected, got = table.attrs[own], op.attrs[asked]
        if expected is not got:
            raise ValueError(
                f"Trying to read value with wrong dtype. Expected {expected.op_def_name} got "
                f"{got.op_def_name}"
            )
    return True, table.attrs.get("value_shape", ())


def _handle(op: Operation) -> None:
    handle = op.inputs[0]
    with_rank(handle._shape, 0 if handle.dtype.name == "resource" else 1)


def _find_shape(op: Operation) -> list[Shape]:
    _handle(op)
    if op.inputs[0].dtype.name != "resource":
        return [None]
    is_known, shape = _value_shape(op, "Tin", "Tout")
    keys = op.inputs[1]._shape
    if not is_known or keys is None or shape is None:
        return [None]
    return [keys + shape]


def _export_shape(op: Operation) -> list[Shape]:
    _handle(op)
    _value_shape(op, "Tkeys", "Tvalues")
    return [None, None]


def _checked_handle(op: Operation) -> list[Shape]:
    _handle(op)
    return []


def _size_shape(op: Operation) -> list[Shape]:
    _handle(op)
    return [()]


def _fill_shape(op: Operation) -> list[Shape]:
    """Keys are a vector; there are as many values."""
    _handle(op)
    keys = with_rank(op.inputs[1]._shape, 1)
    values = with_rank_at_least(op.inputs[2]._shape, 1)
    if keys is not None and values is not None:
        merge_dims(keys[0], values[0])
    return []


def _file_shape(op: Operation) -> list[Shape]:
    _handle(op)
    with_rank(op.inputs[1]._shape, 0)
    return []


_SHARING = [
    "container: string = ''",
    "shared_name: string = ''",
    "use_node_name_sharing: bool = false",
]
_TYPES = ["key_dtype: type", "value_dtype: type"]
_VALUE_SHAPE = "value_shape: shape = {}"
_BUCKETS = ["initial_num_buckets: int = 131072", "max_load_factor: float = 0.8"]
_FILE = [
    "key_index: int >= -2",
    "value_index: int >= -2",
    "vocab_size: int >= -1 = -1",
    "delimiter: string = '\t'",
    "offset: int = 0",
]

# The first version of each passes a reference to a string, the second a resource.
for _version, _kind in (("", "Ref(string)"), ("V2", "resource")):
    _in, _stateful = f"table_handle: {_kind}", bool(_version)
    for _name, _inputs, _attrs in (
        ("HashTable", [], _TYPES),
        ("MutableHashTable", [], _TYPES),
        ("MutableHashTableOfTensors", [], [*_TYPES, _VALUE_SHAPE]),
        (
            "MutableDenseHashTable",
            ["empty_key: key_dtype", *(["deleted_key: key_dtype"] if _version else [])],
            [*_TYPES, _VALUE_SHAPE, *_BUCKETS],
        ),
    ):
        define_op(
            f"{_name}{_version}",
            inputs=_inputs,
            outputs=[_in],
            attrs=[*_SHARING, *_attrs],
            stateful=True,
            shape=scalar if _version else _reference_shape,
        )
    for _name, _inputs, _outputs, _attrs, _shape in (
        ("LookupTableFind", ["keys: Tin", "default_value: Tout"], ["values: Tout"],
         ["Tin: type", "Tout: type"], _find_shape),
        ("LookupTableInsert", ["keys: Tin", "values: Tout"], [],
         ["Tin: type", "Tout: type"], _checked_handle),
        ("LookupTableImport", ["keys: Tin", "values: Tout"], [],
         ["Tin: type", "Tout: type"], _fill_shape),
        ("LookupTableExport", [], ["keys: Tkeys", "values: Tvalues"],
         ["Tkeys: type", "Tvalues: type"], _export_shape),
        ("LookupTableSize", [], ["size: int64"], [], _size_shape),
        ("InitializeTable", ["keys: Tkey", "values: Tval"], [],
         ["Tkey: type", "Tval: type"], _fill_shape),
        ("InitializeTableFromTextFile", ["filename: string"], [], _FILE, _file_shape),
    ):  # fmt: skip
        define_op(
            f"{_name}{_version}",
            inputs=[_in, *_inputs],
            outputs=_outputs,
            attrs=_attrs,
            stateful=_stateful,
            shape=_shape,
        )
define_op(
    "LookupTableRemoveV2",
    inputs=["table_handle: resource", "keys: Tin"],
    attrs=["Tin: type"],
    stateful=True,
    shape=_checked_handle,
)


# --- builders -------------------------------------------------------------------------------------


@export("tables_initializer", "initializers.tables_initializer")
def tables_initializer(name: str = "init_all_tables") -> Operation:
    """An operation that fills all tables of the graph."""
    initializers = get_default_graph().get_collection(GraphKeys.TABLE_INITIALIZERS)
    return group(*initializers, name=name) if initializers else no_op(name)


@export("initialize_all_tables")
def initialize_all_tables(name: str = "init_all_tables") -> Operation:
    """Older name of `tables_initializer`."""
    return tables_initializer(name)


def check_types(table: Any, key_dtype: Any, value_dtype: Any) -> None:
    """Raise TypeError unless the table has keys and values of these dtypes."""
    for kind, dtype, own in (
        ("key", key_dtype, table.key_dtype),
        ("value", value_dtype, table.value_dtype),
    ):
        if dtype.base_dtype != own:
            raise TypeError(f"Invalid {kind} dtype for table, expected {own} but got {dtype}.")
