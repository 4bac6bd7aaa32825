"""`import tensorflow` as tfsession: a finder of modules, and the modules that it makes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import tfsession
from tfsession.core import exports, protos
from tfsession.core.exports import export_value
from tfsession.imports.listing import explain, is_known_module, present
from tfsession.imports.module_names import TEXTS, is_message_module, plain, searched

__all__ = ["install_as_tensorflow", "remove"]

_ROOT = "tensorflow"


class _StandIn(ModuleType):
    """A module of TensorFlow: its names are looked up when they are first asked for."""

    def __getattr__(self, name: str) -> Any:
        own = self.__name__.partition(".")[2]
        dotted = f"{own}.{name}" if own else name
        value = _value(plain(own), name, dotted)
        if value is None and name[:2] != "__" and is_known_module(dotted):
            value = import_module(f"{_ROOT}.{dotted}")
        if value is None:
            told = "" if name.startswith("__") else f": {explain(dotted)}"
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}{told}")
        value = value[0] if isinstance(value, tuple) else value
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        own = plain(self.__name__.partition(".")[2])
        found = {
            rest
            for space in searched(own)
            for rest in (n[len(space) :] for n in exports.names if n.startswith(space))
            if "." not in rest
        }
        below = f"{own}." if own else ""
        found |= {n[len(below) :].split(".")[0] for n in exports.names if n.startswith(below)}
        return sorted(found | {name for name in vars(self) if not name.startswith("_")})


def _value(module: str, name: str, dotted: str) -> tuple[Any] | None:
    """The object of a name in a 1-tuple: it may be None itself."""
    if name == "__all__":
        return (dir(sys.modules[f"{_ROOT}.{module}".rstrip(".")]),)
    if (text := TEXTS.get(plain(dotted))) is not None:
        return (text,)
    if name.startswith("__"):
        return None
    public = present(dotted)
    if public is None:
        return None
    return (getattr(protos, name) if is_message_module(module) else exports.lookup(public),)


class _Finder:
    """Finds `tensorflow` and all below it; what tfsession lacks there it explains.

    A module of TensorFlow that tfsession lacks is found, too: a program may import what it does not
    use. Its names are missing when they are asked for.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for each module of TensorFlow that a program may import."""
        root, _, dotted = name.partition(".")
        if root != _ROOT:
            return None
        if plain(dotted) and not is_known_module(dotted):
            # Without the `name` that `from tensorflow import x` would take as "no module x".
            raise ModuleNotFoundError(f"No module named {name!r}: {explain(dotted)}")
        return ModuleSpec(name, _Finder, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """A stand-in, empty at first."""
        return _StandIn(spec.name, f"TensorFlow's module of this name, by tfsession {_version()}.")

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Nothing: its names come when they are asked for."""


def _version() -> str:
    return tfsession.__version__


def install_as_tensorflow() -> None:
    """Let `import tensorflow` in this process mean tfsession from now on.

    For notebooks and embedded programs; `tfsession run` does it for a script. It does nothing when
    done again. TensorFlow itself, where it is installed, stays as it is.

    Raises:
        RuntimeError: the real TensorFlow has been imported in this process.
    """
    if _Finder in sys.meta_path:
        return
    if _ROOT in sys.modules:
        raise RuntimeError(
            "TensorFlow itself has been imported in this process: install_as_tensorflow must come "
            "before the first `import tensorflow`"
        )
    dir(tfsession)  # loads the public names
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]


def remove() -> None:
    """Undo `install_as_tensorflow`; modules that hold a stand-in keep it."""
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)  # type: ignore[arg-type]
        for name in [n for n, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]


export_value(install_as_tensorflow, "install_as_tensorflow")
