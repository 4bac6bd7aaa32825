"""A checkpoint of either format, by its name alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.saved_slices import SlicesReader
from tfsession.core.file_system import local_path
from tfsession.core.tensor_parts import Part

_WORTH_THREADS: Final = 16 << 20
_FEWEST_THREADS: Final = 4


def open_checkpoint(prefix: str) -> BundleReader | SlicesReader:
    """The reader of a checkpoint: of the second format where it has an index, else of the first.

    Raises:
        NotFoundError: there is neither.
        DataLossError: it is damaged.
    """
    path = local_path(prefix)
    index = bundle_files.index_name(path)
    if Path(bundle_files.current(index, path)).is_file():
        return BundleReader(prefix)
    return SlicesReader(prefix)


def read_tensors(
    reader: BundleReader | SlicesReader, asked: Sequence[tuple[str, Part | None]]
) -> list[Any]:
    """Tensors, or parts of them, by their names; large ones at the same time.

    Raises:
        OpError: the error of the first one that cannot be read.
    """
    names = [name for name, _ in asked]
    parts = [part for _, part in asked]
    if isinstance(reader, BundleReader):
        size = sum(reader.entry(name).size for name in names)
        if len(asked) > 1 and size >= _WORTH_THREADS:
            # More of them than cores do no harm: they wait for the disk, and for new memory.
            workers = min(len(asked), max(_FEWEST_THREADS, min(8, os.cpu_count() or 1)))
            with ThreadPoolExecutor(workers, "checkpoint") as pool:
                return list(pool.map(reader.read, names, parts))
    return [reader.read(name, part) for name, part in asked]
