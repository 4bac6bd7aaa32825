"""TensorHandle: what a program holds of a tensor that stays in a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.core.device_spec import canonical
from tfsession.core.dtypes import DType, string
from tfsession.graph.create import create_op
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

HANDLE_OPS = frozenset({"GetSessionHandle", "GetSessionHandleV2"})
RESOURCE_ARRAY = np.dtype([("resource", np.ubyte)])


def device_of(handle: Any) -> str:
    """The device named in the text of a handle; ValueError when there is none."""
    text = handle.decode() if isinstance(handle, bytes) else str(handle)
    return canonical(text.split(";")[-1])


class TensorHandle:
    """A tensor that stays in a session, where it was computed.

    Feed it for a placeholder, also of another device, and the tensor does not leave the devices.
    When the handle is gone so is, some handles later, the tensor.

    Args:
        handle: the fetched value of a GetSessionHandle operation.
        dtype: the tensor's dtype.
        session: keeps the tensor.
    """

    def __init__(self, handle: Any, dtype: DType, session: Any) -> None:
        self._auto_gc_enabled = False  # until all is made
        self._handle = _text(handle)
        self._dtype = dtype
        self._session = session
        self._auto_gc_enabled = True

    def __del__(self) -> None:
        if self._auto_gc_enabled:
            self._session._engine.state.tensors.bury(self._handle)

    def __str__(self) -> str:
        return self._handle

    @property
    def handle(self) -> str:
        """The text: name of the operation, number of the tensor, device."""
        return self._handle

    def eval(self) -> Any:
        """The tensor's value.

        Raises:
            TypeError: it was deleted, or is looked after by the program.
            InvalidArgumentError: the session has it no more.
        """
        self._check_kept()
        holder, reader = self._graph_elements(f"reader of {self._key}", self._make_reader)
        return self._session.run(reader, feed_dict={holder: self._handle})

    def delete(self) -> None:
        """Drop the tensor now; raises TypeError when it was deleted already."""
        self._check_kept()
        self._auto_gc_enabled = False
        holder, deleter = self._graph_elements("deleter", self._make_deleter)
        self._session.run(deleter, feed_dict={holder: self._handle})

    def get_raw_handle(self) -> str:
        """The text of the handle; from now on the program looks after the tensor's life."""
        self._auto_gc_enabled = False
        return self._handle

    def to_numpy_array(self) -> Any:
        """The handle as the bytes of a ResourceHandleProto."""
        proto = protos.ResourceHandleProto(
            device=self._handle.split(";")[-1], container="TensorHandle", name=self._handle
        )
        return np.frombuffer(proto.SerializeToString(), RESOURCE_ARRAY).copy()

    @property
    def _key(self) -> str:
        parts = self._handle.split(";")
        return f"{parts[0]};{parts[-1]}"

    def _check_kept(self) -> None:
        if not self._auto_gc_enabled:
            raise TypeError(f"Persistent tensor {self._handle} may have already been deleted.")

    def _graph_elements(self, key: str, make: Callable[[Tensor], Any]) -> tuple[Tensor, Any]:
        """A placeholder for handles and what reads or deletes their tensors, made once a graph."""
        graph: Graph = self._session.graph
        with graph._lock:
            known: tuple[Tensor, Any] | None = graph._handle_elements.get(key)
            if known is None:
                with (
                    graph.as_default(),
                    graph.control_dependencies(None),
                    graph.device(device_of(self._handle)),
                ):
                    holder = create_op("Placeholder", attrs={"dtype": string})
                    known = graph._handle_elements[key] = holder, make(holder)
        return known

    def _make_reader(self, holder: Tensor) -> Tensor:
        reader: Tensor = create_op("GetSessionTensor", [holder], {"dtype": self._dtype})
        return reader

    def _make_deleter(self, holder: Tensor) -> Operation:
        deleter: Operation = create_op("DeleteSessionTensor", [holder])
        return deleter


def _text(handle: Any) -> str:
    """The handle's text, from a text or from the bytes of a fetched resource."""
    if isinstance(handle, np.ndarray) and handle.dtype.names:
        name: str = protos.ResourceHandleProto.FromString(handle.tobytes()).name
        return name
    if isinstance(handle, np.ndarray) and handle.ndim == 0:
        handle = handle.item()
    return handle.decode() if isinstance(handle, bytes) else str(handle)
