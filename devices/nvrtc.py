"""The compiler of CUDA C, NVRTC, by ctypes: source to the machine code of one architecture."""

from __future__ import annotations

import ctypes
import site
import sys
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

__all__ = ["CompilationError", "Compiled", "Compiler", "compiler"]

_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")
# The folders of NVIDIA's wheels in the package `nvidia`, of CUDA 13 and 12.
_FOLDERS = ("cu13/lib", "cuda_nvrtc/lib")


class CompilationError(RuntimeError):
    """Source that the compiler refuses; the text names the kernel and holds the compiler's own."""


class Compiled(NamedTuple):
    """Machine code, and what the compiler said about it."""

    cubin: bytes
    log: str


class Compiler:
    """The functions of one NVRTC.

    Attributes:
        path: the file that was loaded.
        version: its major and minor number.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._library = library = ctypes.CDLL(path)
        library.nvrtcGetErrorString.restype = c_char_p
        major, minor = c_int(), c_int()
        self._check(library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)

    def _check(self, status: int) -> None:
        if status:
            text = self._library.nvrtcGetErrorString(c_int(status)).decode()
            raise CompilationError(f"NVRTC of {self.path} has failed: {text}")

    def _text(self, what: str, program: c_void_p) -> bytes:
        """What `nvrtcGet<what>` gives."""
        size = c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw[: size.value]

    def compile(self, source: str, name: str, arch: str, options: Sequence[str] = ()) -> Compiled:
        """Machine code for an architecture, as "sm_90".

        `name` is what errors call the source. Raises CompilationError.
        """
        program = c_void_p()
        library = self._library
        self._check(
            library.nvrtcCreateProgram(
                ctypes.byref(program), source.encode(), f"{name}.cu".encode(), 0, None, None
            )
        )
        try:
            given = [f"--gpu-architecture={arch}".encode(), *[o.encode() for o in options]]
            array = (c_char_p * len(given))(*given)
            status = library.nvrtcCompileProgram(program, c_int(len(given)), array)
            log = self._text("ProgramLog", program).rstrip(b"\0").decode(errors="replace")
            if status:
                raise CompilationError(f"The kernel {name} does not compile for {arch}:\n{log}")
            return Compiled(self._text("CUBIN", program), log)
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))


def _places() -> list[str]:
    """Where it may be: in wheels, beside CuPy's toolkit, or where the system finds libraries."""
    spec = find_spec("nvidia")
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    roots += [Path(p, "nvidia") for p in [*site.getsitepackages(), site.getusersitepackages()]]
    found = [root / folder / name for root in roots for folder in _FOLDERS for name in _NAMES]
    found += [Path(sys.prefix, "lib", name) for name in _NAMES]
    system = find_library("nvrtc")
    there = [str(path) for path in dict.fromkeys(found) if path.exists()]
    return there + ([system] if system else []) + list(_NAMES)


@cache
def compiler() -> Compiler | None:
    """The compiler that was found first; None where there is none."""
    for path in _places():
        try:
            return Compiler(path)
        except (OSError, AttributeError, CompilationError):
            continue
    return None


def lacking() -> str:
    """What to do about a missing compiler."""
    return (
        "NVRTC was not found: install nvidia-cuda-nvrtc-cu12, or tfsession's extra cuda12 or cuda13"
    )
