"""A checkpoint of either format, by its name alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.saved_slices import SlicesReader
from tfsession.core.file_system import local_path
from tfsession.core.tensor_parts import Part


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
    """Tensors, or parts of them, by their names.

    Raises:
        OpError: one of them cannot be read.
    """
    if isinstance(reader, BundleReader):
        return reader.read_all(asked)
    return [reader.read(name, part) for name, part in asked]
