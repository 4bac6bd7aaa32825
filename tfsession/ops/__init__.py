"""What ops are: definitions, shape functions and public builders, one file a family.

Imports core and graph; a family imports only families below it (constant, elementwise, shape, slice,
join, compare, reduce, matmul, nn, random, state). No op touches a device.
"""

from importlib import import_module
from pkgutil import iter_modules


def load() -> None:
    """Import every family, so that its ops and public names are registered."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
