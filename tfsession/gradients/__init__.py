"""How gradients flow back: one rule for each differentiable op, and the engine behind tf.gradients.

Imports core, graph and ops: rules call the builders of other families, which is why they stand
apart from ops. The families are loaded at the first look-up in `core.rules.gradients`.
"""

from importlib import import_module
from pkgutil import iter_modules


def load() -> None:
    """Import every family, so that its rules are registered."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
