"""What lives in a device's memory: counted under a limit, and told by operation when it is full."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from weakref import WeakSet, ref

import numpy as np

from tfsession.core import forking
from tfsession.core.errors import CancelledError, ResourceExhaustedError

__all__ = [
    "OPERATIONS",
    "Charge",
    "Holding",
    "HostLedger",
    "Ledger",
    "MemoryStats",
    "charged",
    "charging_to",
    "exhausted_text",
    "on_behalf_of",
    "root_of",
]

T = TypeVar("T")

# Compiled functions have under this global name the operation of each of their lines.
OPERATIONS: Final = "__operations__"
_NAMES_OF_TYPES: Final = {"float16": "half", "float32": "float", "float64": "double"}
_TOLD: Final = 10  # holders that an error lists by name
_PATIENCE, _ONCE_IN = 2, 16

_here = threading.local()


class Holding(NamedTuple):
    """What one operation has in a device's memory: so many `tensors`, of `nbytes` bytes in all.

    `shape` and `dtype` are those of the largest; None where only its size is known.
    """

    op: str
    op_type: str
    nbytes: int
    tensors: int
    shape: tuple[int, ...] | None
    dtype: str | None


class MemoryStats(NamedTuple):
    """A device's memory, in bytes.

    Attributes:
        in_use: what live tensors take.
        peak: the most that was ever in use.
        limit: the most that the device hands out.
        reserved: what is taken from the machine, in use or kept for the next tensor.
        num_allocs: how often memory was asked for.
        largest_free_block: a tensor of so many bytes surely fits now.
        live: who holds what is in use, the largest first; the sum of `nbytes` is `in_use`.
    """

    in_use: int
    peak: int
    limit: int
    reserved: int
    num_allocs: int
    largest_free_block: int
    live: tuple[Holding, ...]


class Charge:
    """Bytes taken from a device; they return with the last reference to this."""

    __slots__ = ("__weakref__", "memory")

    def __init__(self, memory: Any = None) -> None:
        self.memory = memory


class _Return(ref[Any]):
    """Tells a ledger that something is gone, by the append of a deque.

    No line of Python: it may come in the middle of the ledger's own arithmetic, and Ctrl-C would be
    lost in a finalizer.
    """

    __slots__ = ("dtype", "key", "nbytes", "owner", "shape")

    key: int
    nbytes: int
    owner: tuple[str, str]
    shape: tuple[int, ...] | None
    dtype: Any


class Reclaimer(Protocol):
    """Keeps memory for later that it can do without."""

    def reclaim(self) -> None:
        """Give it back, as far as it is not in use."""


class Ledger:
    """The live allocations of one device under a hard limit.

    `device` and `allocator` are the names that errors give.
    """

    def __init__(self, device: str, allocator: str, limit: int) -> None:
        self.lock = forking.rlock()
        self.device = device
        self.allocator = allocator
        self.limit = limit
        self.peak = 0
        self.num_allocs = 0
        self.closed = False
        # Who keeps memory here for later, and gives it back by `reclaim()`.
        self.reclaimers: WeakSet[Reclaimer] = WeakSet()
        self._in_use = 0
        self._collections = self._in_vain = 0
        self._out: dict[int, _Return] = {}
        self._returned: deque[_Return] = deque()

    def in_use(self) -> int:
        """Bytes taken and not given back."""
        with self.lock:
            while self._returned:
                self._forget(self._returned.popleft())
            return self._in_use

    def _forget(self, back: _Return) -> None:
        if self._out.get(back.key) is back:
            del self._out[back.key]
            self._in_use -= back.nbytes

    def room(self) -> int:
        """Bytes that are left."""
        return self.limit - self.in_use()

    def take(self, holder: Any, nbytes: int, shape: Any = None, dtype: Any = None) -> None:
        """Charges `nbytes`, which return when `holder` is gone.

        Raises:
            ResourceExhaustedError: the limit forbids it.
            CancelledError: the session is closed.
        """
        with self.lock:
            if self.closed:
                raise CancelledError(None, None, "Session has been closed.")
            self.require(nbytes, shape, dtype)
            self.note(holder, nbytes, shape, dtype)

    def require(self, nbytes: int, shape: Any = None, dtype: Any = None) -> None:
        """Raises ResourceExhaustedError where there is no room for so many bytes."""
        # Below the peak nothing can be refused: what is gone need not be looked for.
        if self._in_use + nbytes > self.peak:
            with self.lock:
                if self.in_use() + nbytes > self.limit:
                    if nbytes <= self.limit:
                        self.collect()
                    if self.in_use() + nbytes > self.limit:
                        raise self.exhausted(nbytes, shape, dtype)

    def collect(self) -> None:
        """Have memory given back that is kept for later, or that only cycles of objects hold.

        To look through all objects may take longer than a step: where it was in vain twice, it is
        done once in a while only.
        """
        before = self.in_use()
        for reclaimer in list(self.reclaimers):
            reclaimer.reclaim()
        self._collections += 1
        is_full = self._in_vain < _PATIENCE or self._collections % _ONCE_IN == 0
        gc.collect(2 if is_full else 1)
        if self.in_use() < before:
            self._in_vain = 0
        elif is_full:
            self._in_vain += 1

    def note(self, holder: Any, nbytes: int, shape: Any = None, dtype: Any = None) -> None:
        """As `take`, for memory that somebody else has allowed."""
        back = _Return(holder, self._returned.append)
        back.key, back.nbytes, back.owner = id(holder), nbytes, _running_operation()
        back.shape, back.dtype = shape, dtype
        with self.lock:
            former = self._out.get(back.key)
            if former is not None:  # gone, and its place is taken already
                self._forget(former)
            self._out[back.key] = back
            self._in_use += nbytes
            self.num_allocs += 1
            if self._in_use > self.peak:
                self.peak = max(self.peak, self.in_use())

    def has(self, holder: Any) -> bool:
        """Whether `holder` is charged here."""
        back = self._out.get(id(holder))
        return back is not None and back() is holder

    def release(self, holder: Any) -> None:
        """Takes what was charged for `holder` off the account: it is somebody else's now."""
        with self.lock:
            back = self._out.get(id(holder))
            if back is not None and back() is holder:
                self._forget(back)

    def hand_over(self, value: T) -> T:
        """Takes a value off the account that belongs to the program from now on."""
        if isinstance(value, np.ndarray):
            self.release(root_of(value))
        return value

    def holdings(self) -> tuple[Holding, ...]:
        """Who holds what is in use, the largest first."""
        with self.lock:
            self.in_use()
            out = list(self._out.values())
        by_owner: dict[tuple[str, str], list[_Return]] = {}
        for back in out:
            by_owner.setdefault(back.owner, []).append(back)
        found = []
        for owner, backs in by_owner.items():
            largest = max(backs, key=lambda back: back.nbytes)
            nbytes, dtype = sum(back.nbytes for back in backs), largest.dtype
            name = None if dtype is None else type_name(dtype)
            found.append(Holding(*owner, nbytes, len(backs), largest.shape, name))
        return tuple(sorted(found, key=lambda holding: (-holding.nbytes, holding.op)))

    def stats(self, reserved: int | None = None) -> MemoryStats:
        """The account now; `reserved` is what is taken from the machine, if it is more."""
        with self.lock:
            in_use, live = self.in_use(), self.holdings()
            taken = in_use if reserved is None else reserved
            left = max(0, self.limit - taken)
            return MemoryStats(in_use, self.peak, self.limit, taken, self.num_allocs, left, live)

    def exhausted(
        self, nbytes: int, shape: Any = None, dtype: Any = None
    ) -> ResourceExhaustedError:
        """The error of a request for `nbytes` that does not fit."""
        with self.lock:
            stats = self.stats()
        text = exhausted_text(nbytes, shape, dtype, self.device, self.allocator)
        lines = [
            f"{text}: {nbytes:,} bytes are more than the {stats.limit - stats.in_use:,} that are "
            f"left of {stats.limit:,}.",
            f"Current usage from device: {self.device}, allocator: {self.allocator}",
            *(f"  {_described(holding)}" for holding in stats.live[:_TOLD]),
        ]
        rest = stats.live[_TOLD:]
        if rest:
            nbytes = sum(holding.nbytes for holding in rest)
            lines.append(f"  {nbytes:,} bytes from {len(rest)} other operations")
        lines.append(f"  {stats.in_use:,} bytes in all; the most was {stats.peak:,}")
        return ResourceExhaustedError(None, None, "\n".join(lines))


def type_name(dtype: Any) -> str:
    """TensorFlow's word for a NumPy dtype in texts about memory."""
    return _NAMES_OF_TYPES.get(dtype.name, str(dtype.name))


def exhausted_text(nbytes: int, shape: Any, dtype: Any, device: str, allocator: str) -> str:
    """The first line of the error of a request that does not fit, in TensorFlow's words.

    Where shape and dtype are not known, the request is one for bytes.
    """
    sizes = nbytes if shape is None else ",".join(map(str, shape))
    type_text = "uint8" if dtype is None else type_name(dtype)
    return (
        f"OOM when allocating tensor with shape[{sizes}] and type {type_text} on {device} "
        f"by allocator {allocator}"
    )


def _described(holding: Holding) -> str:
    many = f"{holding.tensors} tensors" if holding.tensors > 1 else "a tensor"
    text = f"{holding.nbytes:,} bytes from {holding.op} ({holding.op_type}): {many}"
    if holding.shape is None:
        return text
    largest = "largest " if holding.tensors > 1 else ""
    return f"{text}, {largest}{holding.dtype}[{','.join(map(str, holding.shape))}]"


# --- who asks -----------------------------------------------------------------------------------

_NOBODY: Final = ("no operation", "made outside of a step")


class on_behalf_of:
    """What is allocated in the block belongs to the operation `name`; `what` is its type."""

    __slots__ = ("_before", "_owner")

    def __init__(self, name: str, what: str) -> None:
        self._owner = (name, what)

    def __enter__(self) -> None:
        self._before = getattr(_here, "owner", None)
        _here.owner = self._owner

    def __exit__(self, *exception: object) -> None:
        _here.owner = self._before


def _running_operation() -> tuple[str, str]:
    """Name and type of the operation for which the calling thread works now.

    The line at which a compiled function stands tells it, so that running costs nothing for it.
    """
    owner: tuple[str, str] | None = getattr(_here, "owner", None)
    if owner is not None:
        return owner
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        operations: Sequence[Any] | None = frame.f_globals.get(OPERATIONS)
        if operations is not None:
            op = operations[frame.f_lineno - 1]
            return ("what is fetched", "a copy") if op is None else (op.name, op.type)
        frame = frame.f_back
    return _NOBODY


# --- arrays of the host ---------------------------------------------------------------------------


def root_of(array: Any) -> Any:
    """The array that holds the memory of a view; a NumPy array that is none is its own."""
    base: Any = array
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)  # a window's base is a stand-in with a base
    return array


class HostLedger(Ledger):
    """The arrays that a CPU device has made, and that somebody still holds."""

    def take_array(self, array: Any, given: Sequence[Any] = ()) -> None:
        """Charges an array for as long as it lives; not one whose memory is that of `given`.

        Raises ResourceExhaustedError as `take` does. NumPy's scalars do not count.
        """
        if not isinstance(array, np.ndarray):
            return
        root = root_of(array)
        if not root.flags.owndata or self.has(root) or any(root_of(g) is root for g in given):
            return
        self.take(root, root.nbytes, root.shape, root.dtype)


class charging_to:
    """What `charged` is given in the block is charged to this ledger."""

    __slots__ = ("_before", "_ledger")

    def __init__(self, ledger: HostLedger) -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        self._before = getattr(_here, "ledger", None)
        _here.ledger = self._ledger

    def __exit__(self, *exception: object) -> None:
        _here.ledger = self._before


def charged(array: T) -> T:
    """A new array that outlives its operation, charged to the device that computes, if it counts.

    Arrays of GPU devices are charged as they are made; those of a CPU device with a limit, here.
    """
    ledger: HostLedger | None = getattr(_here, "ledger", None)
    if ledger is not None:
        ledger.take_array(array)
    return array
