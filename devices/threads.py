"""The threads of the host: one pool for the process, that all sessions share.

Work is cut into blocks by its shape alone, so results do not depend on how many threads there are,
nor on how busy they are. Threads take block after block, and whoever asked works with them: it
waits only for blocks that others have begun, so a pool that is busy elsewhere costs nothing.
"""

from __future__ import annotations

import ctypes
import os
import threading
from _queue import SimpleQueue
from _thread import LockType
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import cache, partial
from itertools import count
from time import sleep
from typing import Any

import numpy as np

from tfsession.core import forking
from tfsession.devices.blas import one_thread

__all__ = [
    *("blas_threads_for", "block_rows", "core_count", "even_rows", "limited_threads", "pause"),
    *("run_blocks", "this_thread", "write_blocks"),
]

# Takes the first row of a block and the one behind its last.
Task = Callable[[int, int], object]

# Bytes that a block may touch: they stay in the cache of one core from one operation to the next.
BLOCK_BYTES = 1 << 20
_MOST_THREADS = 64
_EVEN = 4
# Multiplications for which LAPACK gets one thread: some milliseconds of one core's work. The fewer
# cores there are, the less there is to gain, and the likelier one of them is busy.
_SMALL = 512_000_000 // min(os.cpu_count() or 1, 16)
_as_it_is: AbstractContextManager[None] = nullcontext()
# Bytes of a block that is only written to, and read once.
_WRITTEN = 1 << 20
# How often who waits for a block looks, before it sleeps.
_LOOKS = 100
# Seconds between looks behind these.
_REST = 2e-5
_yield: Callable[[], object] = getattr(os, "sched_yield", partial(sleep, 0))


class _ThisThread(threading.local):
    """What the calling thread may do.

    `limit` is how many threads may work for it, 0 for as many as there are cores; `is_inside` says
    that it works on a block.
    """

    limit = 0
    is_inside = False


this_thread = _ThisThread()


def _cores() -> set[int]:
    """The cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def core_count() -> int:
    """How many cores the process may compute on."""
    return len(_cores())


def block_rows(row_bytes: int, budget: int = BLOCK_BYTES) -> int:
    """How many rows a block has, so that all that is touched for them stays in the cache.

    Args:
        row_bytes: bytes of one row of everything that a task reads, writes and allocates.
        budget: bytes of a block.
    """
    return max(1, budget // max(1, row_bytes))


def even_rows(rows: int, row_bytes: int, budget: int = BLOCK_BYTES) -> int:
    """As `block_rows`, but so that several threads have as much to do, if there are few blocks."""
    blocks = -(-rows // block_rows(row_bytes, budget))
    if blocks > 1:
        blocks = -(-blocks // _EVEN) * _EVEN
    return max(1, -(-rows // max(1, blocks)))


def blas_threads_for(multiplications: int) -> AbstractContextManager[None]:
    """A context for so much work of LAPACK, in which BLAS has as many threads as it is worth."""
    is_small = multiplications < _SMALL and not this_thread.is_inside
    return one_thread if is_small else _as_it_is


def run_blocks(xp: Any, rows: int, step: int, task: Task) -> None:
    """Run `task(start, stop)` for blocks of `step` rows that cover `range(rows)`.

    In host memory blocks run on several threads, in any order; elsewhere all is one block. What a
    task itself cuts into blocks stays on its thread. BLAS has one thread meanwhile.

    Args:
        xp: the module of the arrays.
        rows: how many there are; nothing runs if none.
        step: rows of a block; a block should take 50 microseconds at least.
        task: reads and writes what belongs to its rows only.

    Raises:
        BaseException: what the first of the blocks that failed has raised. No block runs any more.
    """
    if xp is not np:
        if rows:
            task(0, rows)
        return
    if rows <= step or this_thread.limit == 1 or this_thread.is_inside:
        _run_here(rows, step, task)
        return
    job = _Job(task, rows, step)
    with one_thread:
        _pool.help(job, min(this_thread.limit or _MOST_THREADS, job.blocks) - 1)
        job.work()
        job.finish()


@contextmanager
def limited_threads(most: int) -> Iterator[None]:
    """Let so many threads at most work for the calling one."""
    before = this_thread.limit
    this_thread.limit = min(before or most, most)
    try:
        yield
    finally:
        this_thread.limit = before


def pause(looks: int) -> None:
    """Let others work, who looks for the so-manieth time whether they are done."""
    if looks < _LOOKS:
        _yield()
    else:
        sleep(_REST)


def write_blocks(write: Callable[[Any, Any], object], array: Any, value: Any) -> None:
    """Call `write(array, value)`: on parts of them, on all cores, where they are large.

    `write` changes each element of the array by the one of the value that stands in its place.
    """
    is_large = type(array) is type(value) is np.ndarray and array.nbytes >= 2 * _WRITTEN
    if (
        not is_large
        or array.shape != value.shape
        or not (array.flags.c_contiguous and value.flags.c_contiguous)
        or np.may_share_memory(array, value)
    ):
        write(array, value)
        return
    written, read = array.reshape(-1), value.reshape(-1)
    step = block_rows(array.itemsize, _WRITTEN)
    run_blocks(np, array.size, step, lambda i, j: write(written[i:j], read[i:j]))


def _run_here(rows: int, step: int, task: Task) -> None:
    """Run all blocks on this thread."""
    if this_thread.is_inside:
        for start in range(0, rows, step):
            task(start, min(start + step, rows))
        return
    this_thread.is_inside = True
    try:
        with one_thread:
            for start in range(0, rows, step):
                task(start, min(start + step, rows))
    finally:
        this_thread.is_inside = False


class _Job:
    """Blocks of one task, taken by whoever has time."""

    __slots__ = (
        *("_done", "_failures", "_inside", "_lock", "_next", "_rows", "_step", "_task"),
        "blocks",
    )

    def __init__(self, task: Task, rows: int, step: int) -> None:
        self._task: Task | None = task
        self._rows = rows
        self._step = step
        self.blocks = -(-rows // step)
        self._next = count().__next__
        self._failures: list[tuple[int, BaseException]] = []
        self._lock = threading.Lock()
        self._inside = 0
        self._done: LockType | None = None

    def work(self) -> None:
        """Run blocks until none is left, on the thread that asked."""
        assert self._task is not None
        self._work(self._task)

    def _work(self, task: Task) -> None:
        rows, step, blocks = self._rows, self._step, self.blocks
        was_inside, this_thread.is_inside = this_thread.is_inside, True
        try:
            while not self._failures and (block := self._next()) < blocks:
                start = block * step
                try:
                    task(start, min(start + step, rows))
                except BaseException as error:
                    self._failures.append((block, error))
        finally:
            this_thread.is_inside = was_inside

    def assist(self) -> None:
        """Work, on another thread than the one that asked, if there is work left."""
        with self._lock:
            # `finish` may take it away as soon as the lock is free.
            task = self._task
            if task is None:
                return
            self._inside += 1
        self._work(task)
        del task
        with self._lock:
            self._inside -= 1
            if self._done is not None and not self._inside:
                self._done.release()

    def finish(self) -> None:
        """Let nobody begin any more, and wait for those that have."""
        with self._lock:
            self._task = None  # who comes late to the job must not keep its arrays alive
            if self._inside:
                self._done = threading.Lock()
                self._done.acquire()
        if self._done is not None:
            self._wait(self._done)
        if self._failures:
            # Popped, so that this frame, which the traceback keeps, does not keep the error.
            failures, self._failures = sorted(self._failures, key=lambda pair: pair[0]), []
            raise failures[0][1]

    def _wait(self, done: LockType) -> None:
        """Blocks that have begun write into arrays of the caller: not even Ctrl-C leaves them."""
        for _ in range(_LOOKS):
            if not self._inside:
                return
            _yield()  # to be woken takes longer than most blocks have left
        interruption: list[BaseException] = []
        while self._inside:
            try:
                done.acquire()
            except BaseException as error:
                interruption.append(error)
        if interruption:
            raise interruption.pop()


class _Pool:
    """Threads that wait for jobs; made when first needed, and anew in a forked child."""

    def __init__(self) -> None:
        self._lock = forking.lock()
        self.after_fork()
        forking.notice(self)

    def after_fork(self) -> None:
        """A child has none of the threads."""
        self._jobs: SimpleQueue[tuple[Callable[..., object], Callable[[], None]]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._apart: set[int] = set()

    def help(self, job: _Job, threads: int) -> None:
        """Call so many threads to a job, as far as there are cores for them."""
        allowed = _cores()
        threads = min(threads, len(allowed) - 1, _MOST_THREADS)
        if threads < 1:
            return
        if len(self._threads) < threads:
            self._grow(threads)
        self._move_apart(allowed)
        for _ in range(threads):
            self._jobs.put((copy_context().run, job.assist))

    def _grow(self, threads: int) -> None:
        with self._lock:
            while len(self._threads) < threads:
                number = len(self._threads)
                thread = threading.Thread(
                    target=self._serve, args=(self._jobs,), name=f"tfsession-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
                self._apart = set()

    @staticmethod
    def _serve(jobs: SimpleQueue[Any]) -> None:
        while (job := jobs.get()) is not None:  # None ends a pool that is not the process's own
            run, assist = job
            run(assist)
            del run, assist, job

    def _move_apart(self, allowed: set[int]) -> None:
        """Keep the pool off the core of the caller, which works itself.

        Linux likes to wake a thread on the core of the one that wakes it, and takes milliseconds to
        notice that both want to run.
        """
        own = _current_core()
        if own is None or own not in allowed or self._apart == (apart := allowed - {own}):
            return
        for thread in self._threads:
            try:
                os.sched_setaffinity(thread.native_id or 0, apart)
            except OSError:  # a sandbox may forbid it
                return
        self._apart = apart


@cache
def _getcpu() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


def _current_core() -> int | None:
    getcpu = _getcpu()
    return None if getcpu is None else getcpu()


_pool = _Pool()
