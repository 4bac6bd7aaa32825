"""Coordinators: threads that end together, with the first error of one of them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tfsession.core import verbosity
from tfsession.core.errors import OutOfRangeError
from tfsession.core.exports import export


@export("train.Coordinator")
class Coordinator:
    """Lets threads ask each other to end, and tells the first error of one of them.

    Args:
        clean_stop_exception_types: errors that are an end, not an error.
    """

    def __init__(
        self, clean_stop_exception_types: Iterable[type[BaseException]] | None = None
    ) -> None:
        clean = (
            (OutOfRangeError,) if clean_stop_exception_types is None else clean_stop_exception_types
        )
        self._clean = tuple(clean)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._joined = False
        self._threads: set[threading.Thread] = set()

    def request_stop(self, ex: Any = None) -> None:
        """Ask all to end."""
        error = ex[1] if isinstance(ex, tuple) else ex
        if isinstance(error, self._clean):
            error = None
        with self._lock:
            if self._joined and error is not None:
                raise error
            if not self._stop.is_set():
                self._error = self._error or error
                self._stop.set()

    def clear_stop(self) -> None:
        """Begin anew."""
        with self._lock:
            self._joined = False
            self._error = None
            self._stop.clear()

    def should_stop(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._stop.is_set()

    @contextmanager
    def stop_on_exception(self) -> Iterator[None]:
        """Ask all to end when an error comes out of the block, which takes it."""
        try:
            yield
        except BaseException:
            self.request_stop(sys.exc_info())

    def wait_for_stop(self, timeout: float | None = None) -> bool:
        """Wait for the end."""
        return self._stop.wait(timeout)

    def register_thread(self, thread: threading.Thread) -> None:
        """Let `join` wait for the thread."""
        with self._lock:
            self._threads.add(thread)

    def join(
        self,
        threads: Iterable[threading.Thread] | None = None,
        stop_grace_period_secs: float = 120,
        ignore_live_threads: bool = False,
    ) -> None:
        """Wait for the threads."""
        with self._lock:
            waited = list(self._threads.union(threads or ()))
        while any(t.is_alive() for t in waited) and not self.wait_for_stop(0.1):
            pass
        until = time.monotonic() + stop_grace_period_secs
        for thread in waited:
            thread.join(max(0, until - time.monotonic()))
        alive = " ".join([thread.name for thread in waited if thread.is_alive()])
        with self._lock:
            self._joined = True
            self._threads = set()
            if self._error is not None:
                raise self._error
            if alive:
                text = f"Coordinator stopped with threads still running: {alive}"
                if not ignore_live_threads:
                    raise RuntimeError(text)
                verbosity.info(text)

    @property
    def joined(self) -> bool:
        """Whether `join` is done."""
        return self._joined

    def raise_requested_exception(self) -> None:
        """Raise the error with which the end was asked for."""
        with self._lock:
            if self._error is not None:
                raise self._error


@export("train.LooperThread")
class LooperThread(threading.Thread):
    """A thread that does something again and again."""

    def __init__(
        self,
        coord: Coordinator,
        timer_interval_secs: float | None,
        target: Callable[..., Any] | None = None,
        args: Any = None,
        kwargs: Any = None,
    ) -> None:
        if not isinstance(coord, Coordinator):
            raise ValueError(f"'coord' argument must be a Coordinator: {coord}")
        super().__init__(daemon=True)
        self._coord = coord
        self._interval = timer_interval_secs
        self._looped = (target, args or (), kwargs or {})
        coord.register_thread(self)

    def run(self) -> None:
        """Loop."""
        with self._coord.stop_on_exception():
            self.start_loop()
            following = time.time()
            while not (
                self._coord.should_stop()
                if self._interval is None
                else self._coord.wait_for_stop(max(0, following - time.time()))
            ):
                following += self._interval or 0
                self.run_loop()
            self.stop_loop()

    def start_loop(self) -> None:
        """Before the first."""

    def stop_loop(self) -> None:
        """After the last."""

    def run_loop(self) -> None:
        """Once."""
        target, args, kwargs = self._looped
        if target is not None:
            target(*args, **kwargs)
