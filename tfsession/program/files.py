"""`tf.gfile`: local files under TensorFlow's names, with its errors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfsession.core import errors
from tfsession.core.exports import export, export_value
from tfsession.core.file_system import file_errors, local_path, matching_paths

_MODES = ("r", "w", "a", "r+", "w+", "a+")


@export("gfile.GFile", "gfile.Open", "io.gfile.GFile")
class GFile:
    """A file for text, or with a "b" in `mode` for bytes; opened at its first use.

    Raises:
        NotFoundError: at the first read, there is no such file.
        PermissionDeniedError: it may not be read, or not be written.
    """

    def __init__(self, name: Any, mode: str = "r") -> None:
        if mode.replace("b", "") not in _MODES:
            raise errors.InvalidArgumentError(
                None, None, f"mode is not 'r' or 'w' or 'a' or 'r+' or 'w+' or 'a+': {mode}"
            )
        self._name = name
        self._mode = mode
        self._is_binary = "b" in mode
        self._file: Any = None

    @property
    def name(self) -> Any:
        """The name it was opened by."""
        return self._name

    @property
    def mode(self) -> str:
        """The mode it was opened in."""
        return self._mode

    def _opened(self, to: str) -> Any:
        if to not in self._mode and "+" not in self._mode and not (to == "w" and "a" in self._mode):
            doing = "reading" if to == "r" else "writing"
            raise errors.PermissionDeniedError(None, None, f"File isn't open for {doing}")
        if self._file is None:
            plain = self._mode.replace("b", "")
            self._file = Path(local_path(self._name)).open(f"{plain}b")  # noqa: SIM115
        return self._file

    def _prepared(self, data: bytes) -> Any:
        return data if self._is_binary else data.decode("utf-8")

    @file_errors()
    def size(self) -> int:
        """The size in bytes."""
        if self._file is not None:
            self._file.flush()
        return Path(local_path(self._name)).stat().st_size

    def write(self, file_content: Any) -> None:
        """Write text or bytes."""
        data = file_content.encode() if isinstance(file_content, str) else bytes(file_content)
        with file_errors(self._name):
            self._opened("w").write(data)

    @file_errors()
    def read(self, n: int = -1) -> Any:
        """The next `n` bytes, or all that are left; text unless the mode has a "b"."""
        return self._prepared(self._opened("r").read(n))

    @file_errors()
    def seek(self, offset: int | None = None, whence: int = 0, position: int | None = None) -> None:
        """Go to `offset` from the start (0), from here (1) or from the end (2).

        Raises:
            TypeError: no offset.
            InvalidArgumentError: another `whence`.
        """
        if offset is None and position is None:
            raise TypeError("seek(): offset argument required")
        if whence not in (0, 1, 2):
            raise errors.InvalidArgumentError(
                None, None, f"Invalid whence argument: {whence}. Valid values are 0, 1, or 2."
            )
        self._opened("r").seek(position if offset is None else offset, whence)

    def seekable(self) -> bool:
        """True."""
        return True

    @file_errors()
    def tell(self) -> int:
        """The position."""
        return int(self._opened("r" if "r" in self._mode else "w").tell())

    @file_errors()
    def readline(self) -> Any:
        """The next line with its end, without carriage returns; empty at the end of the file."""
        return self._prepared(self._opened("r").readline().replace(b"\r", b""))

    def readlines(self) -> list[Any]:
        """The lines that are left."""
        return list(self)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._file is not None:
            with file_errors(self._name):
                self._file.flush()

    def close(self) -> None:
        """Close the file; what was written is there then. It may be used again."""
        with file_errors(self._name):
            if self._file is None and self._mode.startswith("w"):
                self._opened("w")  # a file that nothing was written to is there, too
            if self._file is not None:
                file, self._file = self._file, None
                file.close()

    def __enter__(self) -> GFile:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def next(self) -> Any:
        """The next line; StopIteration at the end."""
        return self.__next__()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()


@export("gfile.FastGFile")
class FastGFile(GFile):
    """As GFile."""


class FileStatistics:
    """Size in bytes, time of the last change in nanoseconds, whether it is a directory."""

    def __init__(self, length: int, mtime_nsec: int, is_directory: bool) -> None:
        self.length = length
        self.mtime_nsec = mtime_nsec
        self.is_directory = is_directory

    def __repr__(self) -> str:
        return f"<FileStatistics length={self.length} is_directory={self.is_directory}>"


@file_errors()
def exists(path: Any) -> bool:
    """Whether there is a file or directory."""
    return Path(local_path(path)).exists()


@file_errors()
def remove(path: Any) -> None:
    """Delete a file; NotFoundError when there is none."""
    Path(local_path(path)).unlink()


@file_errors()
def glob(pattern: Any) -> list[str]:
    """The paths that fit a pattern, or any of several: `*`, `?` and `[...]` within a name.

    Raises:
        NotFoundError: not raised: what fits nothing gives an empty list.
    """
    patterns = pattern if isinstance(pattern, list | tuple) else [pattern]
    return [path for one in patterns for path in matching_paths(one)]


@file_errors()
def mkdir(path: Any) -> None:
    """Make a directory whose parent exists; nothing happens when it is there."""
    Path(local_path(path)).mkdir(exist_ok=True)


@file_errors()
def makedirs(path: Any) -> None:
    """Make a directory with its parents; nothing happens when it is there."""
    Path(local_path(path)).mkdir(parents=True, exist_ok=True)


@file_errors()
def rmtree(path: Any) -> None:
    """Delete a directory with all that is in it; NotFoundError when there is none."""
    target = Path(local_path(path))
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink()


@file_errors()
def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Copy a file; AlreadyExistsError when `dst` is there, unless `overwrite`."""
    source, target = Path(local_path(src)), Path(local_path(dst))
    _check_free(target, overwrite)
    shutil.copyfile(source, target)


@file_errors()
def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Rename a file or directory; AlreadyExistsError when `dst` is there, unless `overwrite`."""
    source, target = Path(local_path(src)), Path(local_path(dst))
    _check_free(target, overwrite)
    source.replace(target)


def _check_free(target: Path, overwrite: bool) -> None:
    if not overwrite and target.exists():
        raise errors.AlreadyExistsError(None, None, "file already exists")


@file_errors()
def isdir(path: Any) -> bool:
    """Whether there is a directory."""
    return Path(local_path(path)).is_dir()


@file_errors()
def listdir(path: Any) -> list[str]:
    """The names in a directory, sorted; NotFoundError when there is none."""
    target = Path(local_path(path))
    if not target.is_dir():
        raise errors.NotFoundError(None, None, f"Could not find directory {path}")
    return sorted(entry.name for entry in target.iterdir())


def walk(
    top: Any, topdown: bool = True, onerror: Callable[[Any], object] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each directory under `top` with the names of its directories and files, sorted.

    Args:
        top: where to begin.
        topdown: give a directory before those in it.
        onerror: called with the error where a directory cannot be read.
    """
    path = local_path(top)
    try:
        names = listdir(path)
    except errors.NotFoundError as error:
        if onerror is not None:
            onerror(error)
        return
    directories = [name for name in names if isdir(Path(path, name))]
    files = [name for name in names if name not in set(directories)]
    here = path, directories, files
    if topdown:
        yield here
    for name in directories:
        yield from walk(os.fspath(Path(path, name)), topdown, onerror)
    if not topdown:
        yield here


@file_errors()
def stat(path: Any) -> FileStatistics:
    """What the file system knows of a path; NotFoundError when there is nothing."""
    target = Path(local_path(path))
    found = target.stat()
    return FileStatistics(found.st_size, found.st_mtime_ns, target.is_dir())


@export("io.gfile.join")
def join(path: Any, *paths: Any) -> str:
    """The parts of a path put together."""
    return os.path.join(os.fsdecode(path), *map(os.fsdecode, paths))  # noqa: PTH118 (keeps schemes)


def _get_registered_schemes() -> list[str]:
    return ["", "file"]


export_value(_get_registered_schemes, "io.gfile.get_registered_schemes")
for _function in (exists, remove, glob, mkdir, makedirs, rmtree, copy, rename, isdir, listdir, walk,
                  stat):  # fmt: skip
    export_value(_function, f"io.gfile.{_function.__name__}")


# The same under the names, and with the argument names, of version 1.


@export("gfile.Exists")
def _exists(filename: Any) -> bool:
    return exists(filename)


@export("gfile.Remove")
def _remove(filename: Any) -> None:
    remove(filename)


@export("gfile.Glob")
def _glob(filename: Any) -> list[str]:
    return glob(filename)


@export("gfile.MkDir")
def _mkdir(dirname: Any) -> None:
    mkdir(dirname)


@export("gfile.MakeDirs")
def _makedirs(dirname: Any) -> None:
    makedirs(dirname)


@export("gfile.DeleteRecursively")
def _rmtree(dirname: Any) -> None:
    rmtree(dirname)


@export("gfile.Copy")
def _copy(oldpath: Any, newpath: Any, overwrite: bool = False) -> None:
    copy(oldpath, newpath, overwrite)


@export("gfile.Rename")
def _rename(oldname: Any, newname: Any, overwrite: bool = False) -> None:
    rename(oldname, newname, overwrite)


@export("gfile.IsDirectory")
def _isdir(dirname: Any) -> bool:
    return isdir(dirname)


@export("gfile.ListDirectory")
def _listdir(dirname: Any) -> list[str]:
    return listdir(dirname)


@export("gfile.Walk")
def _walk(top: Any, in_order: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    return walk(top, in_order)


@export("gfile.Stat")
def _stat(filename: Any) -> FileStatistics:
    return stat(filename)
