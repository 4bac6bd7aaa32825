"""Moments on a device's stream: when it had done what was queued before each of them.

The host's clock says when work was queued; only the device knows when it was done. A moment costs a
microsecond or so to queue, and holds nothing back.
"""

from __future__ import annotations

import abc

__all__ = ["Timer"]


class Timer(abc.ABC):
    """Marks in the work of one device, numbered from 0 on."""

    @abc.abstractmethod
    def mark(self) -> None:
        """Queue the next mark."""

    @abc.abstractmethod
    def nanoseconds(self) -> list[int]:
        """When the device came to each mark, counted from the first.

        Right only after a `synchronize()` that followed the last mark: before, an error.
        """
