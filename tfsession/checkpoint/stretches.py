"""Stretches of files into arrays: several threads read, and sum up what they have just read.

Each thread takes the next few megabytes in the order of the files, straight into the arrays, so
that one large tensor is read as fast as many small ones, and nothing is held beside them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from tfsession.core import crc32c
from tfsession.core.progress import Progress

# What a thread reads without a pause, and what it sums up while it is in the processor's cache.
_JOB: Final = 16 << 20
_PIECE: Final = 1 << 20
# Targets of one call of the system.
_MOST_TARGETS: Final = 256
# More threads than cores do no harm: they wait for the disk, and for new memory.
_THREADS: Final = 4
_WORTH_THREADS: Final = 4 << 20


class Stretch(NamedTuple):
    """Bytes of a file: `target`, an array of bytes, is what they are read into."""

    file: str
    offset: int
    target: Any


class _Bit(NamedTuple):
    """A part of a stretch, by the stretch's number and the place in it."""

    number: int
    begin: int
    end: int


class _Job(NamedTuple):
    """Parts of stretches that follow each other in a file."""

    file: str
    offset: int
    bits: list[_Bit]


class EndOfFile(Exception):
    """The file ends within stretch `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def read_stretches(stretches: Sequence[Stretch], progress: Progress) -> list[int]:
    """Read all stretches; gives the checksum of each.

    Raises:
        OSError: a file cannot be read.
        EndOfFile: a file ends too early.
    """
    jobs = list(_jobs(stretches))
    with ExitStack() as stack:
        files: dict[str, int] = {}
        for job in jobs:
            if job.file not in files:
                files[job.file] = os.open(job.file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                stack.callback(os.close, files[job.file])
        read = partial(_read, files, stretches, progress)
        total = sum(stretch.target.size for stretch in stretches)
        if len(jobs) == 1 or total < _WORTH_THREADS:
            sums = [read(job) for job in jobs]
        else:
            # The files are closed when nobody reads from them any more.
            pool = stack.enter_context(ThreadPoolExecutor(min(_THREADS, len(jobs)), "checkpoint"))
            stack.callback(partial(pool.shutdown, cancel_futures=True))
            sums = list(pool.map(read, jobs))
    found = [0] * len(stretches)
    for job, values in zip(jobs, sums, strict=True):
        for bit, value in zip(job.bits, values, strict=True):
            before = found[bit.number]
            found[bit.number] = crc32c.joined(before, value, bit.end - bit.begin)
    return found


def _jobs(stretches: Sequence[Stretch]) -> Iterator[_Job]:
    """What is to be read, in the order of the files; parts of a stretch come in their order."""
    job, size = _Job("", 0, []), 0
    order = sorted(range(len(stretches)), key=lambda n: (stretches[n].file, stretches[n].offset))
    for number in order:
        file, offset, target = stretches[number]
        begin = 0
        while begin < target.size:
            follows = file == job.file and offset + begin == job.offset + size
            if not follows or size >= _JOB or len(job.bits) >= _MOST_TARGETS:
                if job.bits:
                    yield job
                job, size = _Job(file, offset + begin, []), 0
            end = min(target.size, begin + _JOB - size)
            job.bits.append(_Bit(number, begin, end))
            size += end - begin
            begin = end
    if job.bits:
        yield job


def _read(
    files: dict[str, int], stretches: Sequence[Stretch], progress: Progress, job: _Job
) -> list[int]:
    """Read a job; gives the checksums of its parts."""
    descriptor, offset = files[job.file], job.offset
    sums = [0] * len(job.bits)
    for group in _groups(job):
        targets = [stretches[n].target[begin:end] for _, (n, begin, end) in group]
        left = [memoryview(target) for target in targets]
        while left:
            count = os.preadv(descriptor, left, offset)
            if not count:
                raise EndOfFile(group[-len(left)][1].number)
            offset += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]
        for (place, _), target in zip(group, targets, strict=True):
            sums[place] = crc32c.crc32c(target, sums[place])
        progress.add(sum(target.size for target in targets))
    return sums


def _groups(job: _Job) -> Iterator[list[tuple[int, _Bit]]]:
    """The parts of a job, with their places, a piece at a time; large ones are cut."""
    group: list[tuple[int, _Bit]] = []
    room = _PIECE
    for place, (number, begin, end) in enumerate(job.bits):
        while begin < end:
            cut = min(end, begin + room)
            group.append((place, _Bit(number, begin, cut)))
            room -= cut - begin
            begin = cut
            if not room:
                yield group
                group, room = [], _PIECE
    if group:
        yield group
