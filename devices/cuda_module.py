"""The array module of CUDA devices: CuPy, with products of matrices by cuBLASLt.

CuPy's own products cannot be captured into a CUDA graph.
"""

from __future__ import annotations

from typing import Any

from tfsession.devices.capture import Watch
from tfsession.devices.constants import Constants
from tfsession.devices.gemm import gemm_library

__all__ = ["CudaModule"]

# A product may have such a part of a device's memory to work in.
_SHARE = 64


class CudaModule:
    """What `numpy` is to the host, for arrays of CuPy."""

    def __init__(self, cupy: Any, watch: Watch, memory_limit_bytes: int = 0) -> None:
        self._cupy = cupy
        if memory_limit_bytes:
            # The most memory that a product may have beside its matrices.
            self.room = memory_limit_bytes // _SHARE
        self.constants = Constants(watch)
        self.__name__ = "cupy"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cupy, name)
        setattr(self, name, found)  # the next look-up does not come here
        return found

    def matmul(self, x1: Any, x2: Any, /, out: Any = None, **options: Any) -> Any:
        """As `numpy.matmul`."""
        library = None if options else gemm_library(self)
        if library is None or not (x1.ndim and x2.ndim):
            return self._cupy.matmul(x1, x2, out, **options)
        if x1.ndim == 1 or x2.ndim == 1:
            found = self._of_vectors(x1, x2)
            if out is None:
                return found
            out[...] = found
            return out
        found = library.multiply(self, x1, x2, out)
        return self._cupy.matmul(x1, x2, out) if found is None else found

    def _of_vectors(self, x1: Any, x2: Any) -> Any:
        """The product where one side is a vector, or both are."""
        if x2.ndim == 1:
            return self.matmul(x1, x2[:, None])[..., 0]
        return self.matmul(x1[None], x2)[..., 0, :]

    def dot(self, a: Any, b: Any, out: Any = None) -> Any:
        """As `numpy.dot`."""
        if a.ndim and b.ndim and max(a.ndim, b.ndim) <= 2:
            return self.matmul(a, b, out)
        return self._cupy.dot(a, b, out)

    def __repr__(self) -> str:
        return f"<{self._cupy.__name__} with cuBLASLt>"
