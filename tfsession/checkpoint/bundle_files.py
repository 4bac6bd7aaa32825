"""The files of a bundle: their names, and how a finished set of them takes its place at once.

No file system renames several files in one go. So each finished file first stands beside its place
as NAME.next, the index last; when that is there, the new checkpoint counts and the old one does
not, whatever is still to be renamed: readers look there first, and the next save tidies up.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfsession.core import forking
from tfsession.core.file_system import file_errors, local_path

_NEXT = ".next"
_ASIDE = ".tempstate"
# What nobody has written to for so many seconds, nobody is writing.
_ABANDONED_AFTER = 3600
_lock = forking.rlock()


def index_name(prefix: str) -> str:
    """The file that says what a checkpoint holds."""
    return f"{prefix}.index"


def data_name(prefix: str, shard: int, shards: int) -> str:
    """The file that holds the bytes of tensors."""
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


def aside(name: str) -> str:
    """A name of nobody else's in the same directory, to write to."""
    return f"{name}{_ASIDE}{secrets.randbits(64)}"


def current(name: str, prefix: str) -> str:
    """The file that stands for `name`: the one that was left beside it when a save was killed."""
    waiting = name + _NEXT
    # Where a name is too long for the file system, nothing waits beside it.
    if all(map(os.path.exists, (index_name(prefix) + _NEXT, waiting))):
        return waiting
    return name


def make_directory(prefix: str) -> None:
    """Have a directory for files that begin so; NotADirectoryError where a file has its name."""
    parent = Path(prefix).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), prefix) from None


def flush(name: str) -> None:
    """Have the file, or the names of a directory, on the disk."""
    descriptor = os.open(name, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_aside(name: str) -> Iterator[str]:
    """Where to write a file that takes its place only when all of it is on the disk.

    What is there is deleted when that fails, as is what killed processes have left there.

    Raises:
        OpError: for errors of the operating system.
    """
    written = aside(name)
    try:
        with file_errors(name):
            _forget_abandoned(Path(name).parent, f"{Path(name).name}{_ASIDE}")
            yield written
            flush(written)
            Path(written).replace(name)
    finally:
        with contextlib.suppress(OSError):
            Path(written).unlink(missing_ok=True)


@file_errors()
def put_in_place(prefix: str, data: Iterable[tuple[str, str]], index: str) -> None:
    """Make finished files the checkpoint `prefix`.

    Args:
        prefix: of the checkpoint.
        data: for each data file, where it is and where it belongs.
        index: where the file of the index is.
    """
    files = [*data, (index, index_name(prefix))]
    with _lock:
        _finish(prefix)
        targets = [target for _, target in files]
        try:
            for source, target in files:
                Path(source).replace(target + _NEXT)
        except BaseException:
            with contextlib.suppress(OSError):
                _finish(prefix, targets)
            raise
        _finish(prefix, targets)


def discard_shards(prefix: str, is_abandoned: bool = False) -> None:
    """Delete what a sharded save that failed has left: its devices' files, to be merged.

    Where `is_abandoned`, only what nobody can be writing any more.
    """
    for directory in glob.glob(f"{glob.escape(local_path(prefix))}_temp*/"):  # noqa: PTH207
        files = list(Path(directory).glob("part-*"))
        if is_abandoned and not all(map(_is_abandoned, [directory, *files])):
            continue
        with contextlib.suppress(OSError):
            for path in files:
                path.unlink()
            Path(directory).rmdir()


def _finish(prefix: str, targets: Iterable[str] = ()) -> None:
    """Rename what stands beside its place, the index last; what no index speaks of is deleted."""
    index = index_name(prefix)
    directory = Path(index).parent
    names = list(targets) or _left_over(directory, Path(prefix).name)
    counts = Path(index + _NEXT).exists()
    for name in names:
        if name != index:
            with contextlib.suppress(FileNotFoundError):
                if counts:
                    Path(name + _NEXT).replace(name)
                else:
                    Path(name + _NEXT).unlink()
    if counts:
        # Both stages must be on the disk in their order, should the power fail.
        flush(str(directory))
        Path(index + _NEXT).replace(index)
        flush(str(directory))


def _left_over(directory: Path, stem: str) -> list[str]:
    """What a killed save has left beside its place; what it has left aside is deleted."""
    _forget_abandoned(directory, f"{stem}.data-", f"{stem}.index.")
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(_NEXT)]
    return [
        str(directory / name.removesuffix(_NEXT))
        for name in names
        if name.startswith(f"{stem}.data-")
    ]


def _forget_abandoned(directory: Path, *starts: str) -> None:
    """Delete the files with such names that stand aside, and that nobody writes any more."""
    with os.scandir(directory) as entries:
        names = [e.path for e in entries if e.name.startswith(starts) and _ASIDE in e.name]
    for name in filter(_is_abandoned, names):
        Path(name).unlink(missing_ok=True)


def _is_abandoned(path: str | Path) -> bool:
    try:
        return Path(path).stat().st_mtime < time.time() - _ABANDONED_AFTER
    except FileNotFoundError:
        return False
