"""Makes one checkpoint of several, as devices of a sharded save have written them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.bundle_writer import write_index
from tfsession.core import protos
from tfsession.core.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsession.core.file_system import file_errors, local_path


def merge_bundles(
    prefixes: Sequence[str], destination: str, *, delete_old_dirs: bool, allow_missing: bool
) -> None:
    """Make the checkpoints `prefixes` one, `destination`: their data files become its shards.

    Args:
        prefixes: what to merge; these checkpoints are gone afterwards.
        destination: the checkpoint's name; its directory is made.
        delete_old_dirs: delete the directories of `prefixes` where nothing else is in them.
        allow_missing: pass over those of `prefixes` that are not there.

    Raises:
        InvalidArgumentError: one is missing, or a tensor is in two of them.
        DataLossError: an index is damaged.
    """
    prefix = local_path(destination)
    readers = _readers(prefixes, allow_missing)
    shards = sum(reader.shards for reader in readers)
    entries: dict[bytes, Any] = {}
    moves: list[tuple[str, str]] = []
    for reader in readers:
        first = len(moves)
        for shard in range(reader.shards):
            source = bundle_files.data_name(reader.prefix, shard, reader.shards)
            moves.append((source, bundle_files.data_name(prefix, first + shard, shards)))
        for key, row in reader.raw_entries().items():
            _take_in(entries, key, row, first)
    index = bundle_files.aside(bundle_files.index_name(prefix))
    try:
        with file_errors():
            bundle_files.make_directory(prefix)
        write_index(index, entries, shards)
        bundle_files.put_in_place(prefix, moves, index)
    finally:
        with contextlib.suppress(OSError):
            Path(index).unlink(missing_ok=True)
    for reader in readers:
        with contextlib.suppress(OSError):
            old = Path(bundle_files.index_name(reader.prefix))
            if reader.prefix != prefix:
                old.unlink()
            if delete_old_dirs:
                old.parent.rmdir()


def _readers(prefixes: Sequence[str], allow_missing: bool) -> list[BundleReader]:
    found = []
    for name in prefixes:
        try:
            found.append(BundleReader(name))
        except NotFoundError:
            if not allow_missing:
                raise InvalidArgumentError(
                    None, None, f"allow_missing_files was set to false and {name} did not exist."
                ) from None
    if not found:
        raise InvalidArgumentError(
            None, None, "At least one prefix checkpoint file must exist, but none existed."
        )
    return found


def _take_in(entries: dict[bytes, Any], key: bytes, row: bytes, first_shard: int) -> None:
    """Add an entry; parts of one tensor may lie in several checkpoints."""
    try:
        entry = protos.BundleEntryProto.FromString(row)
    except protos.DecodeError as error:
        raise DataLossError(None, None, f"Entry for key {key!r} is damaged: {error}") from None
    known = entries.get(key)
    if known is None:
        entry.shard_id = 0 if entry.slices else entry.shard_id + first_shard
        entries[key] = entry
    elif known.slices and entry.slices and (known.dtype, known.shape) == (entry.dtype, entry.shape):
        known.slices.extend(entry.slices)
    else:
        name = key.decode(errors="replace")
        raise InvalidArgumentError(None, None, f"Duplicate tensor keyed by {name} encountered")
