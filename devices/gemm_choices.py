"""Which algorithm computes a product fastest: timed once, and kept on disk for later processes.

The file is JSON. It is written anew and put in the place of the old one, so that no reader sees
half of it; what cannot be read, and what a library of another version or another card chose, is
passed over.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tfsession.core import forking
from tfsession.devices.cublaslt import Algorithm

__all__ = ["Choices"]

_FORMAT = 1
# Choices that are kept; those made first go first.
_MOST = 4096
_ALGORITHM_BYTES = 64
_MOST_WORKSPACE = 1 << 40


def _valid(key: Any, value: Any) -> Algorithm | None:
    """The choice that an entry of the file tells; None for what is no choice."""
    try:
        text, workspace = value
        content = bytes.fromhex(text)
    except (TypeError, ValueError):
        return None
    fits = isinstance(key, str) and len(content) == _ALGORITHM_BYTES
    if not fits or type(workspace) is not int or not 0 <= workspace <= _MOST_WORKSPACE:
        return None
    return Algorithm(content, workspace)


class Choices:
    """The algorithms that were found fastest, by a text that tells all that decides it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = forking.lock()
        self._known: dict[str, Algorithm] | None = None

    def _read(self) -> dict[str, Algorithm]:
        if self._path is None:
            return {}
        try:
            found = json.loads(self._path.read_text("utf-8"))
            if found["format"] != _FORMAT:
                return {}
            entries = list(found["choices"].items())[-_MOST:]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        checked = [(key, _valid(key, value)) for key, value in entries]
        return {key: choice for key, choice in checked if choice is not None}

    def get(self, key: str) -> Algorithm | None:
        """What was chosen, by this process or an earlier one."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known.get(key)

    def put(self, key: str, choice: Algorithm) -> None:
        """Keep a choice, and write it down where that is possible."""
        with self._lock:
            known = {**self._read(), **(self._known or {})}
            known.pop(key, None)
            known[key] = choice
            while len(known) > _MOST:
                del known[next(iter(known))]
            self._known = known
            self._write(known)

    def _write(self, known: dict[str, Algorithm]) -> None:
        if self._path is None:
            return
        choices = {key: (choice.content.hex(), choice.workspace) for key, choice in known.items()}
        text = json.dumps({"format": _FORMAT, "choices": choices}, indent=0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=self._path.parent, prefix=".gemm-", suffix=".json")
        except OSError:
            return  # nobody may write there: the choice lives as long as the process
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
