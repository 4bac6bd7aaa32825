"""Machine code of this computer's processor, compiled by LLVM where llvmlite is installed.

`TFSESSION_LLVM=0` switches it off. Compiled code is kept on disk with that of GPUs
(`devices.code_cache`), so that a second process links what the first has compiled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from tfsession.devices.code_cache import CodeCache, folder

__all__ = ["SWITCH", "NativeCompiler", "description", "is_there", "native_compiler"]

SWITCH = "TFSESSION_LLVM"
_PACKAGE = "llvmlite"
# Products and sums in one rounding, without which functions would be slow.
_NEEDED = {"x86_64": "fma", "arm64": "", "aarch64": ""}
_SPEED = 3


# Who loads LLVM, or compiles: a process that forks waits for them, because a copy of the half of it
# could do neither.
_alone = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_alone.acquire, after_in_parent=_alone.release, after_in_child=_alone.release
    )


# Engines own what they have linked, which ufuncs call: they and its code are never given up.
_engines: list[tuple[Any, bytes]] = []


class NativeCompiler:
    """LLVM for the processor of this computer."""

    def __init__(self, binding: Any) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        self._binding = binding
        features = binding.get_host_cpu_features()
        triple = binding.get_process_triple()
        self.cpu = binding.get_host_cpu_name()
        self.is_fit = _is_fit(triple.split("-")[0], features)
        self._machine = partial(
            binding.Target.from_triple(triple).create_target_machine,
            cpu=self.cpu, features=features.flatten(), opt=_SPEED,
        )  # fmt: skip
        self._arch = f"{triple} {self.cpu} {features.flatten()}"
        self._cache = CodeCache(folder())

    @property
    def version(self) -> tuple[int, int]:
        """That of LLVM: its major and minor number."""
        major, minor, *_ = self._binding.llvm_version_info
        return major, minor

    def addresses(self, source: str, names: Sequence[str]) -> list[int]:
        """Where functions of a module lie, given as LLVM writes it.

        Raises RuntimeError where LLVM refuses the text.
        """
        key = CodeCache.key(source, [], self._arch, self.version)
        with _alone:
            code = self._cache.get(key)
            if code is None:
                code = self._compiled(source)
                self._cache.put(key, code)
            return self._linked(code, names)

    def _compiled(self, source: str) -> bytes:
        """An object file."""
        binding = self._binding
        module = binding.parse_assembly(source)
        module.verify()
        options = binding.create_pipeline_tuning_options(speed_level=_SPEED)
        options.loop_vectorization = True
        machine = self._machine()
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        code: bytes = machine.emit_object(module)
        return code

    def _linked(self, code: bytes, names: Sequence[str]) -> list[int]:
        binding = self._binding
        # An engine owns its machine.
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), self._machine())
        file = binding.ObjectFileRef.from_data(code)
        engine.add_object_file(file)
        file.detach()  # the engine has it now, and would free it a second time
        engine.finalize_object()
        _engines.append((engine, code))
        return [engine.get_function_address(name) for name in names]


def _is_fit(kind: str, features: Any) -> bool:
    needed = _NEEDED.get(kind)
    return needed is not None and (not needed or bool(features.get(needed)))


def _is_wanted() -> bool:
    return os.environ.get(SWITCH, "1").strip().lower() not in ("0", "false")


@cache
def _is_there() -> bool:
    return _is_wanted() and find_spec(_PACKAGE) is not None


@cache
def _compiler() -> NativeCompiler | None:
    if not is_there():
        return None
    try:
        from llvmlite import binding  # noqa: PLC0415  it takes a tenth of a second

        found = NativeCompiler(binding)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None
    return found if found.is_fit else None


def is_there() -> bool:
    """Whether there is LLVM, as far as can be told without loading it."""
    return _is_there()


def native_compiler() -> NativeCompiler | None:
    """LLVM; None where it is not installed, not wanted, or not for this processor."""
    with _alone:  # threads that ask at once get the same one
        return _compiler()


def description() -> str:
    """The compiler in a line, or why there is none."""
    if find_spec(_PACKAGE) is None:
        return "not installed"
    if not _is_wanted():
        return f"not used, {SWITCH}=0"
    found = native_compiler()
    if found is None:
        return "not used, it does not fit this processor"
    return f"LLVM {'.'.join(map(str, found.version))} for {found.cpu}"
