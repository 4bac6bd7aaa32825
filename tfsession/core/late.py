"""Modules that are imported at the first need: the registries say when, the façade says which.

Imports the standard library only, so that `import tfsession` costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from tfsession.core import forking

__all__ = ["Late", "gradients", "kernels", "ops"]


class Late:
    """A load that happens once; what ends in an error, Ctrl-C above all, is begun anew.

    No module asks for it while it is itself being imported: another thread may be loading just that
    module, and each would wait for the other.
    """

    def __init__(self, load: Callable[[], object] | None = None) -> None:
        self._load = load
        self._lock = forking.rlock()
        self._is_loading = False

    def load_with(self, load: Callable[[], object]) -> None:
        """Call `load` when it is first needed."""
        self._load = load

    @property
    def done(self) -> bool:
        """Whether all is there."""
        return self._load is None

    def loaded(self) -> bool:
        """Load if that is still to be done; False only when `load` itself asks.

        Other threads wait until all is there; what is loaded may ask for some of it.
        """
        if self._load is None:
            return True
        with self._lock:
            if self._is_loading:
                return False
            if self._load is not None:
                self._is_loading = True
                try:
                    self._load()
                    self._load = None
                finally:
                    self._is_loading = False
            return True


# Op definitions with all else that importing the op families does; kernels; gradients.
ops = Late()
kernels = Late()
gradients = Late()
