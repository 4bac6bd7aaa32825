"""Datasets that are kept in a file, written the first time that somebody goes through all.

The file `NAME.cache` is a TFRecord file. Its first record names the format and the dtypes of the
components, each further one is an element: of each component a serialized TensorProto with its
length before it; of several tensors that are one component, as those of a sparse tensor, the shape
in which they stand, and then each. It is written under another name, and has its own once it is
whole. `NAME_0.lockfile` is there meanwhile, and keeps others from writing it, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfsession.core import verbosity
from tfsession.core.dtypes import DType, variant
from tfsession.core.errors import AlreadyExistsError, DataLossError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.records import RecordReader, RecordWriter
from tfsession.core.tensor_proto import parsed, serialized
from tfsession.core.wire import read_varint, sized
from tfsession.resources.dataset import Dataset, Element, Steps, refused

_FORMAT = "tfsession dataset cache 1"


class FileCacheDataset(Dataset):
    """What another dataset gave the first time that somebody went through all of it, in a file.

    Args:
        source: the dataset.
        name: begins the names of files.
        dtypes: of the components of elements.
    """

    def __init__(self, source: Dataset, name: bytes, dtypes: Sequence[DType]) -> None:
        self._source = source
        self._name = local_path(name)
        self._header = " ".join([_FORMAT, *(dtype.name for dtype in dtypes)]).encode()
        self._are_several = [dtype is variant for dtype in dtypes]

    def __iter__(self) -> Steps:
        if Path(f"{self._name}.cache").exists():
            return ReadSteps(self._name, self._header, self._are_several)
        return WriteSteps(iter(self._source), self._name, self._header)


class WriteSteps(Steps):
    """Goes through a dataset, and writes what it gives."""

    def __init__(self, steps: Steps, name: str, header: bytes) -> None:
        self._steps = steps
        self._name = name
        self._header = header
        self._process = os.getpid()
        self._writer: RecordWriter | None = None
        self._is_over = False

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """New ones, written."""
        if self._is_over:
            return []
        if self._writer is None and self._is_mine:
            self._begin()
        found: list[Element] = self._steps.some(count)
        if self._writer is not None and self._is_mine:
            for element in found:
                self._writer.write(b"".join(map(_encoded, element)))
            if not found:
                self._complete()
        self._is_over = not found
        return found

    @property
    def _is_mine(self) -> bool:
        """Whether this is the process that writes, and none that was forked from it."""
        return os.getpid() == self._process

    @property
    def _partial(self) -> str:
        return f"{self._name}.cache.tempstate{self._process}"

    @property
    def _lock(self) -> str:
        return f"{self._name}_0.lockfile"

    def _begin(self) -> None:
        try:
            with file_errors(), Path(self._lock).open("x", encoding="utf-8") as lock:
                lock.write(f"Created at: {time.time():.0f} by process {self._process}\n")
        except AlreadyExistsError:
            told = Path(self._lock).read_text(encoding="utf-8", errors="replace").strip()
            text = (
                "There appears to be a concurrent caching iterator running - cache lockfile "
                f"already exists ('{self._lock}'). If no other program writes this cache, delete "
                f"the lockfile and initialize the iterator again. Lockfile contents: {told}"
            )
            raise AlreadyExistsError(None, None, text) from None
        try:
            self._writer = RecordWriter(self._partial)
            self._writer.write(self._header)
        except BaseException:
            self._discard()
            raise

    def _complete(self) -> None:
        """The file is whole: let it be found."""
        writer = self._writer
        assert writer is not None
        try:
            writer.close()
            with file_errors():
                Path(self._partial).replace(f"{self._name}.cache")
        finally:
            self._discard()

    def _discard(self) -> None:
        self._writer = None
        for name in (self._partial, self._lock):
            Path(name).unlink(missing_ok=True)

    def __del__(self) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.forget()
        if self._is_mine:
            self._discard()
            verbosity.warning(
                "The dataset that is cached in %s was not read to its end: what was written is "
                "discarded. Where only a part is wanted, `take` it before `cache`.",
                self._name,
            )


class ReadSteps(Steps):
    """Goes through the elements of a file."""

    def __init__(self, name: str, header: bytes, are_several: Sequence[bool]) -> None:
        self._path = f"{name}.cache"
        self._are_several = are_several
        self._is_over = False
        self._reader = RecordReader(self._path)
        found = self._reader.read()
        if found != header:
            self._reader.close()
            shown = (found or b"").decode(errors="replace")
            raise refused(
                f"The cache {self._path} was not written by this dataset, whose elements are "
                f"'{header.decode()}': it begins with '{shown}'. Delete it, or use another name."
            )

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """Elements as they were written."""
        if self._is_over:
            return []
        self._is_over = True  # also behind an error: what follows damage is no element
        found = [self._decoded(record) for record in self._reader.read_some(count)]
        self._is_over = not found
        if not found:
            self._reader.close()
        return found

    def _decoded(self, record: bytes) -> Element:
        place, element = 0, []
        try:
            for is_several in self._are_several:
                value, place = _array_at(record, place)
                if is_several:
                    array = np.empty(value.tolist(), object)
                    for index in np.ndindex(array.shape):
                        array[index], place = _array_at(record, place)
                    value = array
                element.append(value if value.ndim or value.dtype.hasobject else value[()])
        except ValueError as error:
            raise DataLossError(None, None, f"The cache {self._path} is damaged: {error}") from None
        return tuple(element)

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.close()


def _encoded(component: Any) -> bytes:
    array = np.asarray(component)
    if not array.dtype.hasobject or not array.size or isinstance(array.flat[0], bytes):
        return sized(serialized(array, texts_as_content=True))
    parts = list(array.flat)
    if not all(isinstance(part, np.ndarray) for part in parts):
        raise refused("Elements that are datasets cannot be cached in a file.")
    shape = np.array(array.shape, np.int64)
    return b"".join([sized(serialized(part, texts_as_content=True)) for part in (shape, *parts)])


def _array_at(record: bytes, place: int) -> tuple[Any, int]:
    """The tensor that begins at a place, and the place behind it."""
    size, place = read_varint(record, place)
    if place + size > len(record):
        raise ValueError("a record ends within a tensor")
    return parsed(record[place : place + size])[1], place + size
