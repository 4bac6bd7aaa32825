"""A checkpoint of either format, by its name alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tfsession.checkpoint import bundle_files, npz, safetensors
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.npz import NpzReader
from tfsession.checkpoint.safetensors import SafetensorsReader
from tfsession.checkpoint.saved_slices import SlicesReader
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.tensor_parts import Part

_WORTH_THREADS: Final = 16 << 20
_FEWEST_THREADS: Final = 4


Reader = BundleReader | SlicesReader | SafetensorsReader | NpzReader


def open_checkpoint(prefix: str) -> Reader:
    """The reader of a checkpoint: of the second format where it has an index, else of what it is.

    Beside checkpoints of the first format these are safetensors and npz files.

    Raises:
        NotFoundError: there is none.
        DataLossError: it is damaged.
    """
    path = local_path(prefix)
    index = bundle_files.index_name(path)
    if Path(bundle_files.current(index, path)).is_file():
        return BundleReader(prefix)
    head = b""
    if Path(path).is_file():
        with file_errors(), Path(path).open("rb") as file:
            head = file.read(9)
    if safetensors.begins_so(head):
        return SafetensorsReader(path)
    return NpzReader(path) if npz.begins_so(head) else SlicesReader(prefix)


def read_tensors(reader: Reader, asked: Sequence[tuple[str, Part | None]]) -> list[Any]:
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
