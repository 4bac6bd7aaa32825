"""Elements made ahead of whoever asks for them, by a thread of their own.

It is started once elements turn out to take long: what is made in less time than handing it from
thread to thread costs is made when asked for. Nobody has to end it: it ends with what goes through
the dataset, which the session or another start of its iterator drops.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any, Final

from tfsession.core import forking
from tfsession.core.errors import FailedPreconditionError
from tfsession.core.waiting import here, patience
from tfsession.devices.device import Device
from tfsession.devices.transfer import copy_ahead
from tfsession.resources.dataset import Dataset, Element, Steps

# Begins the name of a device in the metadata of a PrefetchDataset.
TO_DEVICE: Final = b"prefetch_to_device:"
# Seconds from which on an element is worth a thread, and how many such there must be.
_LONG: Final = 0.0003
_ENOUGH: Final = 2
# How many elements are made ahead where the program leaves it open.
_AUTOTUNED: Final = 4


class PrefetchDataset(Dataset):
    """The elements of another dataset, `size` of which are made ahead; a few if it is negative.

    With a `device` their arrays are copied there ahead, too.
    """

    def __init__(self, source: Dataset, size: int, device: Device | None = None) -> None:
        self._source = source
        self._size = size if size >= 0 else _AUTOTUNED
        self._device = device if device is not None and device.device_type != "CPU" else None

    def __iter__(self) -> Steps:
        steps = iter(self._source)
        if self._device is not None:
            return PrefetchSteps(CopySteps(steps, self._device), self._size or 1, _ENOUGH)
        return PrefetchSteps(steps, self._size) if self._size else steps


class CopySteps(Steps):
    """Goes through elements and begins to copy them to a device."""

    def __init__(self, steps: Steps, device: Device) -> None:
        self._steps = steps
        self._device = device

    def __next__(self) -> Element:
        element: Element = next(self._steps)
        for component in element:
            copy_ahead(component, self._device)
        return element


class PrefetchSteps(Steps):
    """Goes through a dataset by a thread that runs ahead, in the same order.

    `long` says how many elements have taken long already.
    """

    def __init__(self, steps: Steps, size: int, long: int = 0) -> None:
        self._steps = steps
        self._ahead = Ahead(steps, size)
        self._long = long
        self._thread: threading.Thread | None = None
        # What the thread holds does not hold this.
        weakref.finalize(self, self._ahead.stop).atexit = False

    def __next__(self) -> Element:
        if self._long < _ENOUGH:
            start = time.perf_counter()
            element: Element = next(self._steps)
            self._long += time.perf_counter() - start > _LONG
            return element
        if self._thread is None or not self._thread.is_alive():  # not started yet, or forked
            self._thread = threading.Thread(
                target=self._ahead.work, name="DatasetPrefetch", daemon=True
            )
            self._thread.start()
        return self._ahead.take()


class Ahead:
    """What the thread and who takes elements share.

    Args:
        steps: give the elements; only the thread calls them.
        size: how many may be ready.
    """

    def __init__(self, steps: Steps, size: int) -> None:
        self._steps = steps
        self._size = size
        # Reentrant: a collection of garbage may stop what this thread is about to read.
        self._changed = threading.Condition(forking.rlock())
        self._ready: deque[tuple[Any, BaseException | None]] = deque()
        self._is_over = self._is_stopped = False
        # Held while an element is made: a fork waits for that, as long as it waits at all.
        self._making = forking.lock()
        self._is_making = self._is_torn = False
        forking.notice(self)

    def after_fork(self) -> None:
        """Who made an element is not in this process: what it went through is half-way."""
        self._is_torn = self._is_torn or self._is_making
        self._is_making = False

    def work(self) -> None:
        """Make elements until there are no more, or nobody wants them."""
        here.is_over = lambda: self._is_stopped
        while True:
            with self._changed:
                while len(self._ready) >= self._size and not self._is_stopped:
                    self._changed.wait()
                if self._is_stopped or self._is_over:
                    return
            with self._making:
                self._is_making = True
                made = self._made()
                with self._changed:
                    self._is_over = isinstance(made[1], StopIteration)
                    # Not behind a stop: an error there would keep this, and all it goes through.
                    if not self._is_over and not self._is_stopped:
                        self._ready.append(made)
                    del made
                    self._changed.notify_all()
                self._is_making = False

    def _made(self) -> tuple[Any, BaseException | None]:
        """The next element, or its error."""
        if self._is_torn:
            text = (
                "This process was forked while another thread made an element of the dataset: "
                "initialize the iterator again."
            )
            return None, FailedPreconditionError(None, None, text)
        try:
            return next(self._steps), None
        except StopIteration:
            return None, StopIteration()
        except BaseException as error:
            return None, error

    def take(self) -> Element:
        """The next element, or its error; StopIteration behind the last one.

        Raises:
            Stop: the time of the step is over; the element comes next.
            CancelledError: the session was closed meanwhile.
        """
        with self._changed:
            while not self._ready and not self._is_over:
                self._changed.wait(patience())
            if not self._ready:
                raise StopIteration
            element, error = self._ready.popleft()
            self._changed.notify_all()
        if error is not None:
            try:
                raise error
            finally:
                del error
        return element  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Let the thread end behind the element that it makes, and drop what is ready."""
        with self._changed:
            self._is_stopped = True
            self._ready.clear()
            self._changed.notify_all()
