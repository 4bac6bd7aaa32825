"""Stretches of files into arrays: several threads read, and sum up what they have just read.

Each thread takes the next few megabytes in the order of the files, straight into the arrays, so
that one large tensor is read as fast as many small ones, and nothing is held beside them. The
arrays are made while the first of them are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import crc32c
from tfsession.core.progress import Progress

# What a thread reads without a pause, long for the system that reads ahead; and what it sums up
# while it is in the processor's cache.
_JOB: Final = 16 << 20
_LONGEST_JOB: Final = 64 << 20
_PIECE: Final = 1 << 20
# Targets of one call of the system.
_MOST_TARGETS: Final = 256
# More threads than cores do no harm: they wait for the disk, and for new memory.
_THREADS: Final = 4
# From this size on NumPy asks for large pages.
_LARGE_ARRAY: Final = 4 << 20


class Stretch(NamedTuple):
    """Bytes of a file."""

    file: str
    offset: int
    size: int


class _Bit(NamedTuple):
    """A part of a stretch, by the stretch's number and the place in it."""

    number: int
    begin: int
    end: int


class _Job(NamedTuple):
    """Parts of stretches that follow each other in a file, and what they are read into."""

    file: str
    offset: int
    bits: list[_Bit]
    targets: list[Any]


class EndOfFile(Exception):
    """The file ends within stretch `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def read_stretches(
    stretches: Sequence[Stretch], target: Callable[[int], Any], progress: Progress
) -> list[int]:
    """Read all stretches; gives the checksum of each.

    Args:
        stretches: what is read.
        target: gives the array of bytes for a stretch, by its number; those of no bytes have none.
        progress: is told how far it is.

    Raises:
        OSError: a file cannot be read.
        EndOfFile: a file ends too early.
    """
    total = sum(stretch.size for stretch in stretches)
    longest = min(_LONGEST_JOB, max(_JOB, total // (2 * _THREADS)))
    threads = min(_THREADS, -(-total // _JOB))
    found = [0] * len(stretches)
    with ExitStack() as stack:
        files = _opened(stretches, longest, threads, stack)
        read = partial(_read, files, progress)
        run: Any = map
        if threads > 1:
            # The files are closed when nobody reads from them any more.
            pool = stack.enter_context(ThreadPoolExecutor(threads, "checkpoint"))
            stack.callback(partial(pool.shutdown, cancel_futures=True))
            run = pool.map
        for bits, sums in run(read, _jobs(stretches, longest, target)):
            for bit, value in zip(bits, sums, strict=True):
                before = found[bit.number]
                found[bit.number] = crc32c.joined(before, value, bit.end - bit.begin)
    return found


def _opened(
    stretches: Sequence[Stretch], longest: int, threads: int, stack: ExitStack
) -> dict[str, Iterator[int]]:
    """Descriptors of each file, in turns: the system reads ahead for each by itself.

    All are opened at once, so that a save in the meantime does not change what is read.
    """
    sizes: dict[str, int] = {}
    for stretch in stretches:
        sizes[stretch.file] = sizes.get(stretch.file, 0) + stretch.size
    files = {}
    for name, size in sizes.items():
        opened = []
        for _ in range(max(1, min(threads, -(-size // longest)))):
            opened.append(os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
            stack.callback(os.close, opened[-1])
        files[name] = cycle(opened)
    return files


def _jobs(stretches: Sequence[Stretch], longest: int, make: Callable[[int], Any]) -> Iterator[_Job]:
    """What is to be read, in the order of the files; parts of a stretch come in their order."""
    job, size = _Job("", 0, [], []), 0
    room, total = 0, sum(stretch.size for stretch in stretches)
    order = sorted(range(len(stretches)), key=lambda n: (stretches[n].file, stretches[n].offset))
    for number in order:
        file, offset, whole = stretches[number]
        begin, target = 0, None
        while begin < whole:
            follows = file == job.file and offset + begin == job.offset + size
            if not follows or size >= longest:
                if job.bits:
                    yield job
                job, size = _Job(file, offset + begin, [], []), 0
            if target is None:
                if whole < _LARGE_ARRAY and total >= _JOB:
                    room -= whole
                    if room < 0:
                        _expect_small_arrays()
                        room = _JOB - whole
                target = make(number)
            end = min(whole, begin + longest - size)
            job.bits.append(_Bit(number, begin, end))
            job.targets.append(target[begin:end])
            size += end - begin
            begin = end
    if job.bits:
        yield job


def _expect_small_arrays() -> None:
    """Have large pages where the heap will put the next arrays.

    A page fault for each 4 KiB of an array takes longer than to fill it. NumPy asks for large pages
    under large arrays; small ones that come after them find their place, and the pages.
    """
    np.empty(_JOB, np.uint8)


def _read(
    files: dict[str, Iterator[int]], progress: Progress, job: _Job
) -> tuple[list[_Bit], list[int]]:
    """Read a job; gives its parts, and their checksums."""
    descriptor, offset = next(files[job.file]), job.offset
    sums = [0] * len(job.bits)
    for group in _groups(job):
        targets = [job.targets[place][begin:end] for place, begin, end in group]
        left = [memoryview(target) for target in targets]
        while left:
            count = os.preadv(descriptor, left, offset)
            if not count:
                raise EndOfFile(job.bits[group[-len(left)][0]].number)
            offset += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]
        for (place, _, _), target in zip(group, targets, strict=True):
            sums[place] = crc32c.crc32c(target, sums[place])
        progress.add(sum(target.size for target in targets))
    return job.bits, sums


def _groups(job: _Job) -> Iterator[list[tuple[int, int, int]]]:
    """A piece at a time, in which places of the job's targets it goes; large ones are cut."""
    group: list[tuple[int, int, int]] = []
    room = _PIECE
    for place, target in enumerate(job.targets):
        begin, end = 0, target.size
        while begin < end:
            cut = min(end, begin + room)
            group.append((place, begin, cut))
            room -= cut - begin
            begin = cut
            if not room or len(group) == _MOST_TARGETS:
                yield group
                group, room = [], _PIECE
    if group:
        yield group
