"""tf.Session, alive: build a graph as `tf.compat.v1` does, place it on devices, run it.

Public names are declared where they are defined (`core.exports`); this façade turns them into
attributes and modules: `tf.nn.softmax`, `import tfsession.nn`. What costs time to import (kernels,
gradients, `tf.train`, protobuf) is loaded when a program first asks for it.
"""

import sys as _sys
from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules
from types import ModuleType as _ModuleType
from typing import Any as _Any

from tfsession import gradients as _gradients
from tfsession import ops as _ops
from tfsession import public_names as _public_names  # noqa: F401
from tfsession import train as _train
from tfsession.core import exports as _exports
from tfsession.core import forking as _forking
from tfsession.core import rules as _rules

__version__ = "0.1.0"

_SUBMODULES = frozenset(found.name for found in _iter_modules(__path__))
_late_lock = _forking.rlock()
_late_state = "waiting"


def _load_kernels() -> None:
    _import_module("tfsession.kernels").load()


def _load_late() -> None:
    """Load the modules that declare public names and are too heavy for the import of tfsession."""
    global _late_state
    with _late_lock:
        if _late_state == "waiting":
            _late_state = "loading"
            try:
                _import_module("tfsession.gradients.engine")
                for found in _iter_modules(_train.__path__):
                    _import_module(f"tfsession.train.{found.name}")
                _open_namespaces()
            except BaseException:  # Ctrl-C above all
                _late_state = "waiting"
                raise
            _late_state = "done"


def _find(prefix: str, name: str) -> _Any:
    """The public object `prefix + name`, which from now on is an attribute of its module."""
    dotted = prefix + name
    if dotted not in _exports.names:
        # A submodule is not there yet: the import system asks before it loads one.
        is_submodule = not prefix and name in _SUBMODULES and name != "gradients"
        if not name.startswith("_") and not is_submodule and _late_state != "done":
            _load_late()
        if dotted not in _exports.names:
            module = f"tfsession.{prefix}"[:-1]
            if f"{module}.{name}" in _sys.modules and not is_submodule:
                return _sys.modules[f"{module}.{name}"]
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
    value = _exports.lookup(dotted)
    setattr(_sys.modules[f"tfsession.{prefix}"[:-1]], name, value)
    return value


def _names_under(prefix: str) -> list[str]:
    _load_late()
    found = {n[len(prefix) :].split(".")[0] for n in _exports.names if n.startswith(prefix)}
    return sorted(found)


def _open_namespaces() -> None:
    """Give every prefix of a public name a module, so that it can be imported too."""
    for dotted in list(_exports.names):
        parent, prefix = _sys.modules[__name__], ""
        for part in dotted.split(".")[:-1]:
            prefix += part + "."
            parent = _open_namespace(parent, part, prefix)


def _open_namespace(parent: _ModuleType, name: str, prefix: str) -> _ModuleType:
    full = f"tfsession.{prefix}"[:-1]
    module = _sys.modules.get(full)
    if module is None:
        module = _sys.modules[full] = _ModuleType(full, f"Public names under `tf.{prefix[:-1]}`.")
        module.__path__ = []
    if "__getattr__" not in vars(module):
        module.__getattr__ = lambda key: _find(prefix, key)  # type: ignore[method-assign]
        module.__dir__ = lambda: _names_under(prefix)  # type: ignore[method-assign]
        setattr(parent, name, module)
    return module


def __getattr__(name: str) -> _Any:
    if name == "__all__":
        return _names_under("")
    return _find("", name)


def __dir__() -> list[str]:
    return [*_names_under(""), "__version__"]


_rules.kernels.load_with(_load_kernels)
_rules.gradients.load_with(_gradients.load)
_ops.load()
_open_namespaces()
# The import system has put the package where the function `tf.gradients` belongs.
del gradients  # type: ignore[name-defined]  # noqa: F821
_sys.modules["tfsession.compat.v1"] = _sys.modules[__name__]
setattr(_sys.modules["tfsession.compat"], "v1", _sys.modules[__name__])  # noqa: B010
