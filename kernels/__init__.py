"""What ops compute: one text over `xp` (NumPy or CuPy), one file a family.

Imports core, devices and resources; never graph, ops or session. Nobody imports a kernel: the
runtime finds them in the registry of `core.rules`, which loads this package at its first look-up.
"""

from importlib import import_module
from pkgutil import iter_modules

if __name__ != "tfsession.kernels":
    raise ImportError("import this package as tfsession.kernels; see pyproject.toml's package-dir")


def load() -> None:
    """Import every family and what GPUs have of their own, so that all kernels are registered."""
    for package in (__name__, f"{__name__}.cuda"):
        for module in iter_modules(import_module(package).__path__):
            if not module.ispkg:
                import_module(f"{package}.{module.name}")
