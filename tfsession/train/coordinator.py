"""Coordinator: threads that end together, with the one error that was first."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tfsession.core import verbosity
from tfsession.core.errors import OutOfRangeError
from tfsession.core.exports import export

# How long `join` sleeps while all goes well, in seconds: so much later it sees that all have ended.
_POLL = 0.05


@export("train.Coordinator")
class Coordinator:
    """Lets threads ask each other to end, and hands on the first error of one of them.

        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(sess=session, coord=coord)
        with coord.stop_on_exception():
            while not coord.should_stop():
                session.run(train)
        coord.join(threads)

    Args:
        clean_stop_exception_types: errors that are a reason to stop, but no failure;
            OutOfRangeError when None.
    """

    def __init__(
        self, clean_stop_exception_types: Iterable[type[BaseException]] | None = None
    ) -> None:
        if clean_stop_exception_types is None:
            clean_stop_exception_types = (OutOfRangeError,)
        self._clean = tuple(clean_stop_exception_types)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._joined = False
        self._threads: set[threading.Thread] = set()

    def request_stop(self, ex: Any = None) -> None:
        """Ask all threads to end.

        Args:
            ex: the error that is the reason, or what `sys.exc_info()` gave; only the first one
                counts, and those of `clean_stop_exception_types` do not.

        Raises:
            Exception: `ex` itself, when the threads were joined already.
            TypeError: `ex` is no error.
        """
        error = ex[1] if isinstance(ex, tuple) and len(ex) == 3 else ex
        if error is not None and not isinstance(error, BaseException):
            raise TypeError(f"ex must be an exception or what sys.exc_info() gives, not {ex!r}")
        if isinstance(error, self._clean):
            error = None
        with self._lock:
            if error is not None and self._joined:
                raise error
            if self._stop.is_set():
                return
            self._error = error
            self._stop.set()
        if error is not None:
            verbosity.info("Error reported to Coordinator: %s, %s", type(error), error)

    def clear_stop(self) -> None:
        """Begin anew: forget the stop and its reason."""
        with self._lock:
            self._joined = False
            self._error = None
            self._stop.clear()

    def should_stop(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    @contextmanager
    def stop_on_exception(self) -> Iterator[None]:
        """A context that asks for a stop when an error leaves it; `join` raises the error."""
        try:
            yield
        except BaseException:
            self.request_stop(sys.exc_info())

    def wait_for_stop(self, timeout: float | None = None) -> bool:
        """Wait until a stop is asked for, `timeout` seconds at most; tells whether it was."""
        return self._stop.wait(timeout)

    def register_thread(self, thread: threading.Thread) -> None:
        """Let `join` wait for this thread as well."""
        with self._lock:
            self._threads.add(thread)

    def join(
        self,
        threads: Iterable[threading.Thread] | None = None,
        stop_grace_period_secs: float = 120,
        ignore_live_threads: bool = False,
    ) -> None:
        """Wait until all threads have ended, on their own or after a stop was asked for.

        Args:
            threads: threads beside the registered ones.
            stop_grace_period_secs: how long they may take to end after a stop.
            ignore_live_threads: only log those that did not end in time.

        Raises:
            RuntimeError: threads did not end in time.
            Exception: the first error with which a stop was asked for.
        """
        with self._lock:
            waited_for = self._threads.union(threads or ())
        while _alive(waited_for) and not self._stop.wait(_POLL):
            pass
        until = time.monotonic() + stop_grace_period_secs
        for thread in _alive(waited_for):
            thread.join(max(0.0, until - time.monotonic()))
        stragglers = " ".join(thread.name for thread in _alive(waited_for))
        with self._lock:
            self._joined = True
            self._threads = set()
            error = self._error
        if error is not None:
            raise error
        if stragglers:
            message = f"Coordinator stopped with threads still running: {stragglers}"
            if not ignore_live_threads:
                raise RuntimeError(message)
            verbosity.info(message)

    @property
    def joined(self) -> bool:
        """Whether `join` was done."""
        return self._joined

    def raise_requested_exception(self) -> None:
        """Raise the error with which a stop was asked for, if there was one."""
        with self._lock:
            error = self._error
        if error is not None:
            raise error


def _alive(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threads if thread.is_alive()]


@export("train.LooperThread")
class LooperThread(threading.Thread):
    """A thread that does something again and again until its coordinator stops.

    A subclass may override `start_loop`, `run_loop` and `stop_loop`. An error stops all.

    Args:
        coord: the coordinator.
        timer_interval_secs: seconds from one time to the next; None for without a pause.
        target: what to call, unless `run_loop` is overridden.
        args: its arguments.
        kwargs: its keyword arguments.

    Raises:
        ValueError: `coord` is no Coordinator, or there are arguments without a target.
    """

    def __init__(
        self,
        coord: Coordinator,
        timer_interval_secs: float | None,
        target: Callable[..., Any] | None = None,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(coord, Coordinator):
            raise ValueError(f"'coord' argument must be a Coordinator: {coord}")
        if target is None and (args or kwargs):
            raise ValueError("'args' and 'kwargs' argument require that you also pass 'target'")
        super().__init__(daemon=True)
        self._coord = coord
        self._interval = timer_interval_secs
        self._call = target, tuple(args or ()), kwargs or {}
        coord.register_thread(self)

    @staticmethod
    def loop(
        coord: Coordinator,
        timer_interval_secs: float | None,
        target: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> LooperThread:
        """Make and start a thread that calls `target`."""
        looper = LooperThread(coord, timer_interval_secs, target, args, kwargs)
        looper.start()
        return looper

    def run(self) -> None:
        """Loop until the coordinator stops."""
        with self._coord.stop_on_exception():
            self.start_loop()
            if self._interval is None:
                while not self._coord.should_stop():
                    self.run_loop()
            else:
                due = time.monotonic()
                while not self._coord.wait_for_stop(max(0.0, due - time.monotonic())):
                    due += self._interval
                    self.run_loop()
            self.stop_loop()

    def start_loop(self) -> None:
        """Called before the first time."""

    def run_loop(self) -> None:
        """Called each time."""
        target, args, kwargs = self._call
        if target is not None:
            target(*args, **kwargs)

    def stop_loop(self) -> None:
        """Called after the last time."""
