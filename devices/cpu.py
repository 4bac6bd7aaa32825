"""CPU devices: NumPy on the host's memory, shared by all of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tfsession.devices.device import CPU_MEMORY_LIMIT, Device, MemoryStats

__all__ = ["CpuDevice"]

_NOTHING: AbstractContextManager[Any] = nullcontext()


class CpuDevice(Device):
    """The host. Arrays are NumPy's and pass between CPU devices without a copy."""

    def __init__(self, index: int) -> None:
        super().__init__("CPU", index, CPU_MEMORY_LIMIT)

    @property
    def xp(self) -> Any:
        """NumPy."""
        return np

    def activate(self) -> AbstractContextManager[Any]:
        """Nothing to switch."""
        return _NOTHING

    def to_device(self, host_array: Any) -> Any:
        """The array itself."""
        return host_array

    def to_host(self, array: Any) -> Any:
        """The array itself."""
        return array

    def from_peer(self, array: Any, source: Device) -> Any:
        """The array itself: CPU devices share the host's memory."""
        return array

    def owns(self, array: Any) -> bool:
        """Whether `array` is a NumPy array or scalar."""
        return isinstance(array, np.ndarray | np.generic)

    def synchronize(self) -> None:
        """Nothing to wait for: CPU kernels return when they are done."""

    def memory_stats(self) -> MemoryStats:
        """Only the nominal limit: NumPy's memory is not counted."""
        return MemoryStats(0, 0, self.memory_limit_bytes, 0)

    def close(self) -> None:
        """Nothing to give back."""
