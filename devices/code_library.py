"""The way from CUDA C to kernels of the card that is in use: compiled, kept on disk, loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tfsession.devices.code_cache import CodeCache, folder
from tfsession.devices.nvrtc import Compiler, compiler

__all__ = ["CodeLibrary", "as_one", "change_as_one", "code_library"]


class CodeLibrary:
    """Compiles and loads code for CuPy; a kernel is called as `kernel(grid, block, arguments)`.

    Arguments are NumPy scalars, those that are addresses among them. A call is queued on CuPy's
    current stream.
    """

    def __init__(self, xp: Any, found: Compiler, kept: CodeCache) -> None:
        self._xp = xp
        self._compiler = found
        self._kept = kept
        self._loaded: dict[tuple[int, str], Any] = {}
        self._lock = threading.Lock()

    @property
    def card(self) -> Any:
        """The calling thread's card: its `id`, and its `compute_capability`."""
        return self._xp.cuda.Device()

    def kernels(self, source: str, names: Sequence[str], options: Sequence[str]) -> list[Any]:
        """The kernels of these names, for the calling thread's card.

        Raises CompilationError where the source does not compile.
        """
        card = self.card
        arch = f"sm_{card.compute_capability}"
        key = CodeCache.key(source, options, arch, self._compiler.version)
        with self._lock:
            module = self._loaded.get((card.id, key))
            if module is None:
                code = self._kept.get(key)
                if code is None:
                    code = self._compiler.compile(source, names[0], arch, options).cubin
                    self._kept.put(key, code)
                module = self._xp.cuda.function.Module()
                module.load(code)
                self._loaded[card.id, key] = module
        return [module.get_function(name) for name in names]


@cache
def _library(xp: Any) -> CodeLibrary | None:
    found = compiler()
    return None if found is None else CodeLibrary(xp, found, CodeCache(folder()))


def code_library(xp: Any) -> CodeLibrary | None:
    """What compiles for arrays of `xp`; None where nothing does: no CUDA, or no NVRTC.

    A simulated device may have what keeps the texts, and fails to give kernels of them.
    """
    if getattr(xp, "__name__", "") == "cupy":
        return _library(xp)
    kept: CodeLibrary | None = getattr(xp, "code_texts", None)
    return kept


def as_one(xp: Any) -> Callable[[Any, Sequence[Any]], list[Any]] | None:
    """What runs a function over NumPy as one kernel, on a simulated device; None elsewhere."""
    found: Callable[[Any, Sequence[Any]], list[Any]] | None = getattr(xp, "as_one", None)
    return found


def change_as_one(xp: Any) -> Callable[[Any, Sequence[Any], Sequence[Any]], None] | None:
    """What changes arrays over NumPy as one kernel, on a simulated device; None elsewhere.

    It calls `function(numpy, values)` with the arrays of the host in the place of the device's, and
    takes with it the arrays that change, and the values.
    """
    found: Callable[[Any, Sequence[Any], Sequence[Any]], None] | None
    found = getattr(xp, "change_as_one", None)
    return found
