"""A checkpoint of either format, by its name alone."""

from __future__ import annotations

from pathlib import Path

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.saved_slices import SlicesReader
from tfsession.core.file_system import local_path


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
