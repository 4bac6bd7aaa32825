"""tf.Session, alive: build a graph as `tf.compat.v1` does, place it on devices, run it.

Public names are declared where they are defined (`core.exports`); this façade turns them into
attributes and modules: `tf.nn.softmax`, `import tfsession.nn`. The import itself loads neither
NumPy nor an op: all that comes when a program first asks for a name, and what only some programs
need (kernels, gradients, `tf.train`, protobuf) when it asks for that.
"""

import sys as _sys
from functools import cache as _cache
from importlib import import_module as _import_module
from importlib.machinery import ModuleSpec as _ModuleSpec
from importlib.util import module_from_spec as _module_from_spec
from itertools import accumulate as _accumulate
from pkgutil import iter_modules as _iter_modules
from types import ModuleType as _ModuleType
from typing import Any as _Any

from tfsession.core import exports as _exports
from tfsession.core import late as _late

__version__ = "0.1.0"

# Rooms whose names are public, too: `tf.train` is the package `tfsession.train`.
_OPEN_ROOMS = ("train", "contrib")
# Modules that need absl: tfsession/program/__init__.py says when they are loaded.
_WAITING = ("absl_flags", "test_case")
# What a name that is missing is told.
_LISTING = "tfsession.imports.listing"
# The modules that stand for prefixes of public names, by prefix.
_opened: dict[str, _ModuleType] = {}


class _Namespaces:
    """Imports `tfsession.nn` and its like, which are no files: prefixes of public names."""

    @staticmethod
    def find_spec(full: str, path: _Any = None, target: _Any = None) -> _ModuleSpec | None:
        """A spec for whatever may be a namespace; asked when there is no file of that name.

        Nothing can be loaded here to know better: the import system holds the lock of all imports.
        """
        root, _, name = full.partition(".")
        if root != __name__ or not name or not (name in _opened or _may_open(name)):
            return None
        return _ModuleSpec(full, _Namespaces, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: _ModuleSpec) -> None:
        """Any module: the namespace takes its place."""

    @staticmethod
    def exec_module(module: _ModuleType) -> None:
        """Load the public names; ModuleNotFoundError where none begins so."""
        full = module.__name__
        name = full.partition(".")[2]
        _load_until_there(name)
        if name not in _opened:
            raise ModuleNotFoundError(f"No module named {full!r}", name=full)
        _sys.modules[full] = _opened[name]


def _may_open(name: str) -> _Any:
    """Whether a namespace of this name may open when more is loaded."""
    if "." in name:
        return name.startswith("contrib.") and not _contrib.done
    return not _train.done


def _load_until_there(dotted: str) -> None:
    """Load one part after the other, until one has the public name or namespace."""
    for part in (_late.ops, _train, _contrib):
        if part is not _contrib or dotted.startswith("contrib."):
            part.loaded()
        if dotted in _exports.names or dotted in _opened:
            return


@_cache
def _submodules() -> frozenset[str]:
    # Two lie elsewhere in an editable install: see pyproject.toml's package-dir.
    return frozenset(found.name for found in _iter_modules(__path__)) | {"devices", "kernels"}


def _load_ops() -> None:
    _import_module("tfsession.public_names")
    _import_module("tfsession.ops").load()
    _open_namespaces()


def _load_kernels() -> None:
    _import_module("tfsession.kernels").load()


def _load_gradients() -> None:
    _import_module("tfsession.gradients").load()


def _load_train() -> None:
    """Load the modules that declare public names, but that only training programs need."""
    _import_module("tfsession.gradients.engine")
    _import_module("tfsession.imports.finder")
    _load_rooms("train", "program", "tracing")


def _load_contrib() -> None:
    _load_rooms("contrib")


def _load_rooms(*rooms: str) -> None:
    for room in rooms:
        for found in _iter_modules(_import_module(f"tfsession.{room}").__path__):
            if found.name not in _WAITING:
                _import_module(f"tfsession.{room}.{found.name}")
    _open_namespaces()


def _find(prefix: str, name: str) -> _Any:
    """The public object `prefix + name`, which from now on is an attribute of its module."""
    module, dotted = f"{__name__}.{prefix}"[:-1], prefix + name
    # Not for what Python and its tools look for in every module, nor for a submodule, for which the
    # import system asks before it loads one.
    public = not name.startswith("_") and (dotted == "gradients" or dotted not in _submodules())
    if public:
        _load_until_there(dotted)
    if dotted in _exports.names:
        value = _exports.lookup(dotted)
    elif dotted in _opened:
        value = _opened[dotted]
    elif f"{module}.{name}" in _sys.modules:
        value = _sys.modules[f"{module}.{name}"]
    else:
        told = f": {_import_module(_LISTING).explain(dotted)}" if public else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}{told}")
    setattr(_sys.modules[module], name, value)
    return value


def _names_under(prefix: str) -> list[str]:
    for part in (_late.ops, _train, _contrib):
        part.loaded()
    found = {n[len(prefix) :].split(".")[0] for n in _exports.names if n.startswith(prefix)}
    return sorted(found)


def _open_namespaces() -> None:
    """Give every prefix of a public name a module, so that it can be imported too."""
    for dotted in list(_exports.names):
        for prefix in _accumulate(dotted.split(".")[:-1], "{}.{}".format):
            _open_namespace(prefix)
    _opened["compat.v1"] = _sys.modules[f"{__name__}.compat.v1"] = _sys.modules[__name__]


def _open_namespace(name: str, module: _ModuleType | None = None) -> None:
    if name in _opened:
        return
    full = f"{__name__}.{name}"
    if module is None:
        spec = _ModuleSpec(full, _Namespaces, is_package=True)  # type: ignore[arg-type]
        module = _module_from_spec(spec)
        module.__doc__ = f"Public names under `tf.{name}`."
    module.__getattr__ = lambda key: _find(f"{name}.", key)  # type: ignore[method-assign]
    module.__dir__ = lambda: _names_under(f"{name}.")  # type: ignore[method-assign]
    _opened[name] = _sys.modules[full] = module


def __getattr__(name: str) -> _Any:
    if name == "__all__":
        return _names_under("")
    return _find("", name)


def __dir__() -> list[str]:
    return [*_names_under(""), "__version__"]


def _install() -> None:
    """Tie the parts together; done again by a reload."""
    _late.ops.load_with(_load_ops)
    _late.kernels.load_with(_load_kernels)
    _late.gradients.load_with(_load_gradients)
    _import_module(f"{__name__}.gradients")
    # The import system has put the package where the function `tf.gradients` belongs.
    globals().pop("gradients", None)
    for room in _OPEN_ROOMS:
        _open_namespace(room, _import_module(f"{__name__}.{room}"))
    for finder in list(_sys.meta_path):
        if getattr(finder, "__module__", None) == __name__:
            _sys.meta_path.remove(finder)
    _sys.meta_path.append(_Namespaces)  # type: ignore[arg-type]


_train = _late.Late(_load_train)
_contrib = _late.Late(_load_contrib)
_install()
