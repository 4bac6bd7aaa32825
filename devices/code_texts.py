"""Texts of kernels, kept where nothing runs them: what a GPU in a simulated one's place would load.

So all that a suite of tests makes a GPU compile can be compiled without one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tfsession.devices.code_cache import CodeCache
from tfsession.devices.nvrtc import CompilationError

__all__ = ["FOLDER", "NotLoaded", "Texts", "texts"]

FOLDER = "TFSESSION_CUDA_TEXTS"
# Of the card that nobody has.
_CAPABILITY = "90"
# Where a kernel begins in a text of several.
_BEGIN = re.compile(r"^namespace of_\w+ \{$", re.MULTILINE)


class NotLoaded(CompilationError):
    """A kernel whose text is kept, and that cannot be called."""


class Texts:
    """Stands for a CodeLibrary: every kernel that is asked for becomes a file of a folder.

    A file has the options in its first line, then the kernel without what all have in common.
    """

    def __init__(self, path: Path) -> None:
        self.card = SimpleNamespace(id=0, compute_capability=_CAPABILITY)
        self._path = path
        self._kept: set[Any] = set()

    def kernels(self, source: str, names: Sequence[str], options: Sequence[str]) -> list[Any]:
        """Raises NotLoaded, always."""
        begins = [found.start() for found in _BEGIN.finditer(source)]
        for begin, end in zip(begins, [*begins[1:], len(source)], strict=True):
            text = source[begin:end].rstrip() + "\n"
            key = text, tuple(options)
            if key not in self._kept:
                self._kept.add(key)
                self._keep(text, options)
        raise NotLoaded(f"{', '.join(names)}: the text is kept, no card is there")

    def _keep(self, text: str, options: Sequence[str]) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        path = self._path / f"{CodeCache.key(text, options, '', (0, 0))}.cu"
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(f"// {' '.join(options)}\n{text}", encoding="utf-8")
            part.replace(path)


@cache
def texts() -> Texts | None:
    """What keeps texts, where the environment names a folder for them."""
    told = os.environ.get(FOLDER)
    return Texts(Path(told)) if told else None
