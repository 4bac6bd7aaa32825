"""Small tables that kernels compute on the host from shapes and attributes: brought over once.

They stay in a device's memory as long as the device does, for captured steps read them there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.devices.capture import Watch

__all__ = ["Constants", "constant"]

# Bytes of all tables of a device; beyond that they are brought over each time.
_MOST = 32 << 20


class Constants:
    """The tables of one device by their content."""

    def __init__(self, watch: Watch) -> None:
        """Traces of steps are those of `watch`."""
        self._watch = watch
        self._arrays: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
        self._nbytes = 0

    def get(self, xp: Any, table: np.ndarray[Any, Any]) -> Any:
        """The table in the memory of the device, which nobody may write to."""
        key = table.dtype.str, table.shape, table.tobytes()
        found = self._arrays.get(key)
        if found is None:
            if self._nbytes + table.nbytes > _MOST:
                return xp.asarray(table)
            with self._watch.aside():
                found = self._arrays[key] = xp.asarray(table)
            self._nbytes += table.nbytes
        return found

    def clear(self) -> None:
        """Give the memory back."""
        self._arrays.clear()
        self._nbytes = 0


def constant(xp: Any, table: np.ndarray[Any, Any]) -> Any:
    """A table of the host as an array of `xp`, not to be written to.

    It is kept: only for what shapes and attributes decide, never for what differs in each step.
    """
    if xp is np:
        return table
    kept: Constants | None = getattr(xp, "constants", None)
    return xp.asarray(table) if kept is None else kept.get(xp, table)
