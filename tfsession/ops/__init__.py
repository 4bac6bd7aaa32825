"""What ops are: definitions, shape functions and public builders, one file a family.

Imports core and graph. A family imports others only downwards; the façade loads all of them.
"""

from importlib import import_module
from pkgutil import iter_modules


def load() -> None:
    """Import every family, so that its ops are defined and its builders public."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
