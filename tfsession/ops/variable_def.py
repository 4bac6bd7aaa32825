"""Variables as VariableDef messages, by the names of their operations, and back."""

from __future__ import annotations

from typing import Any

from tfsession.core import protos
from tfsession.graph.collection_protos import (
    CollectionProto,
    collection_protos,
    within_scope,
    without_scope,
)
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.reference_variable import RefVariable
from tfsession.ops.resource_variable import ResourceVariable
from tfsession.ops.save_slice_info import SaveSliceInfo
from tfsession.ops.variables import Variable


def to_proto(self: Any, export_scope: str | None = None) -> Any:
    """The VariableDef of a variable; None for one outside of `export_scope`."""
    prefix = export_scope.rstrip("/") + "/" if export_scope else ""
    if not self._tensor.name.startswith(prefix):
        return None
    is_resource = isinstance(self, ResourceVariable)
    snapshot = self._graph_element if is_resource else self._snapshot
    initial = self._initial_value
    found = protos.VariableDef(
        variable_name=without_scope(self._tensor.name, export_scope),
        initializer_name=without_scope(self.initializer.name, export_scope),
        snapshot_name=without_scope(snapshot.name, export_scope),
        is_resource=is_resource,
        trainable=self.trainable,
        synchronization=self.synchronization,
        aggregation=self.aggregation,
    )
    if initial is not None:
        found.initial_value_name = without_scope(initial.name, export_scope)
    if self._save_slice_info is not None:
        found.save_slice_info_def.MergeFrom(self._save_slice_info.to_proto(export_scope))
    return found


def from_proto(variable_def: Any, import_scope: str | None = None) -> Any:
    """The variable whose operations a VariableDef names, in the default graph.

    Args:
        variable_def: the message.
        import_scope: the name scope that the operations were imported into.

    Raises:
        KeyError: there are no such operations.
        ValueError: a name is none of what it should name.
    """
    message = protos.coerce(variable_def, protos.VariableDef)
    graph = get_default_graph()

    def element(name: str) -> Any:
        return graph.as_graph_element(within_scope(name, import_scope))

    made = object.__new__(ResourceVariable if message.is_resource else RefVariable)
    tensor = element(message.variable_name)
    made._trainable = message.trainable
    made._constraint = None
    made._synchronization = message.synchronization
    made._aggregation = message.aggregation
    made._static_shape = tensor.op.attrs["shape"]
    made._initializer_op = element(message.initializer_name)
    made._initial_value = (
        element(message.initial_value_name) if message.initial_value_name else None
    )
    made._save_slice_info = (
        SaveSliceInfo(save_slice_info_def=message.save_slice_info_def, import_scope=import_scope)
        if message.HasField("save_slice_info_def")
        else None
    )
    if message.is_resource:
        made._handle = tensor
        made._dtype = tensor.op.attrs["dtype"]
        made._graph_element = element(message.snapshot_name)
        made._cached = None
    else:
        made._variable = tensor
        made._dtype = tensor.dtype
        made._snapshot = element(message.snapshot_name)
    return made


Variable.to_proto = to_proto
Variable.from_proto = staticmethod(from_proto)
for _key in (*GraphKeys._VARIABLE_COLLECTIONS, GraphKeys.GLOBAL_STEP):
    collection_protos[_key] = CollectionProto("VariableDef", to_proto, from_proto)
