"""CPU devices: NumPy on the host's memory, shared by all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from tfsession.devices.device import Device
from tfsession.devices.heap import keep_freed_memory
from tfsession.devices.layout import CPU_MEMORY_LIMIT
from tfsession.devices.memory import HostLedger, charging_to

__all__ = ["CpuDevice"]

_NOTHING: AbstractContextManager[Any] = nullcontext()


class CpuDevice(Device):
    """The host. Arrays are NumPy's and pass between CPU devices without a copy.

    With a limit, what operations give and variables and queues keep is counted under it; what a
    kernel needs while it computes is not, nor what was fed or is already fetched.
    """

    asks_ahead: ClassVar[bool] = True
    ledger: HostLedger | None = None

    def __init__(self, index: int, limit: int | None = None) -> None:
        super().__init__("CPU", index, CPU_MEMORY_LIMIT if limit is None else limit)
        keep_freed_memory()
        if limit is not None:
            self.ledger = HostLedger(self.name, "cpu", limit)

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

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel, with its results charged where there is a limit."""
        ledger = self.ledger
        if ledger is None:
            return function

        def run(*inputs: Any, **written: Any) -> Any:
            with charging_to(ledger):
                result = function(*inputs, **written)
            for value in result if isinstance(result, tuple | list) else (result,):
                ledger.take_array(value, inputs)
            return result

        return run

    def close(self) -> None:
        """What the program still holds is its own."""
        if self.ledger is not None:
            self.ledger.closed = True
