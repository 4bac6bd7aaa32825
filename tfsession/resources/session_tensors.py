"""Tensors that a session keeps between steps, each under the text of a handle."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Any, NamedTuple

from tfsession.core.dtypes import DType
from tfsession.devices.transfer import Memory

# So many tensors whose handles are gone are dropped together, as in TensorFlow: until then their
# texts can still be fed.
DEAD_TOGETHER = 10


class SessionTensor(NamedTuple):
    """An array, the memory in which it lies, and the dtype of the tensor that it was."""

    array: Any
    memory: Memory
    dtype: DType


class SessionTensors:
    """The kept tensors of one session, by handle.

    Handles die in destructors, which may run anywhere: in a thread that holds any lock, between
    any two lines. So this class takes no lock; each change is one step of a dict or a deque.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, SessionTensor] = {}
        self._numbers = count()
        self._dead: deque[str] = deque()

    def put(self, name: str, device: str, tensor: SessionTensor) -> str:
        """Keep a tensor; gives its handle, made of the node's name, a number and the device."""
        handle = f"{name};{next(self._numbers)};{device}"
        self._tensors[handle] = tensor
        return handle

    def get(self, handle: str) -> SessionTensor | None:
        """The tensor, or None."""
        return self._tensors.get(handle)

    def delete(self, handle: str) -> bool:
        """Forget the tensor; gives whether it was there."""
        return self._tensors.pop(handle, None) is not None

    def bury(self, handle: str) -> None:
        """Forget the tensor together with others, when there are enough of them."""
        self._dead.append(handle)
        if len(self._dead) < DEAD_TOGETHER:
            return
        for _ in range(DEAD_TOGETHER):
            try:
                self.delete(self._dead.popleft())
            except IndexError:  # another thread was faster
                return

    def clear(self) -> None:
        """Forget everything."""
        self._tensors.clear()
        self._dead.clear()
