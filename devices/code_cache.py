"""Compiled kernels on disk, by what they were compiled from; any process may read and write there.

The folder is that of `TFSESSION_CACHE_DIR`, or one in the user's cache. What lies there is looked
at before it is used: a file that is not whole is as good as none. Where nothing can be written,
nothing is kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "CodeCache", "folder"]

FOLDER = "TFSESSION_CACHE_DIR"
# All files together; the oldest go when there is more, until half is left.
_MOST_BYTES = 256 << 20
_MAGIC = b"TFSCODE1"
_DIGEST = 32


def folder() -> Path:
    """Where compiled kernels are kept."""
    told = os.environ.get(FOLDER)
    if told:
        return Path(told)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "tfsession")


def _digest(*parts: bytes) -> bytes:
    from hashlib import sha256  # noqa: PLC0415  it loads OpenSSL

    found = sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


class CodeCache:
    """The files of one folder, made when something is first kept."""

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes

    @staticmethod
    def key(source: str, options: Sequence[str], arch: str, version: tuple[int, int]) -> str:
        """The name of the code that a compiler makes of a source."""
        parts = [source, *options, arch, "{}.{}".format(*version)]
        return _digest(*[part.encode() for part in parts]).hex()

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.cubin"

    def get(self, key: str) -> bytes | None:
        """The code that was kept; None if there is none, or not all of it."""
        try:
            content = self._file(key).read_bytes()
        except OSError:
            return None
        begin = len(_MAGIC) + _DIGEST
        code = content[begin:]
        if content[:begin] != _MAGIC + _digest(key.encode(), code):
            return None
        with suppress(OSError):
            os.utime(self._file(key))  # used last
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep code; a reader finds all of it or nothing."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path, prefix=key[:8], suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_MAGIC + _digest(key.encode(), code) + code)
                Path(name).replace(self._file(key))
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
            self._shrink()
        except OSError:
            return

    def _shrink(self) -> None:
        """Remove what was not used for the longest time, where there is too much."""
        rows = []
        for path in self.path.iterdir():
            if path.suffix in (".cubin", ".part"):
                with suppress(OSError):
                    status = path.stat()
                    rows.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in rows)
        if total <= self._most_bytes:
            return
        for _, size, path in sorted(rows):
            with suppress(OSError):
                path.unlink()
            total -= size
            if total <= self._most_bytes // 2:
                return
