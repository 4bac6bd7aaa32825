"""cuBLASLt, where it is installed: products of matrices in a GPU's memory, with epilogues.

CuPy refuses cuBLAS while a stream captures, and has no cuBLASLt; this library may be captured. A
product is described once for its shapes (`Product`), and runs as one of the algorithms that the
library proposes for it.

Functions, structures and numbers are those of the public header `cublasLt.h`, version 12 and 13;
the sizes of attributes were seen to be accepted by version 12.9 of the library itself.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from ctypes import byref, c_char, c_float, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tfsession.core import forking
from tfsession.core.errors import InternalError

__all__ = ["Algorithm", "Kind", "Library", "Operand", "Problem", "Product", "load"]

_MAJORS = (13, 12)
# cublasOperation_t.
AS_IT_IS, TRANSPOSED, ADJOINT = 0, 1, 2
# cublasLtEpilogue_t; the bits may be joined.
DEFAULT, RELU, BIAS, GELU, GRADIENT_OF_BIAS = 1, 2, 4, 32, 256
# cublasLtMatmulDescAttributes_t.
_TRANSPOSES: Final = (3, 4)
_EPILOGUE, _BIAS_POINTER = 7, 8
# cublasLtMatrixLayoutAttribute_t.
_BATCH_COUNT, _BATCH_STRIDE = 5, 6
# cublasLtMatmulPreferenceAttributes_t.
_MOST_WORKSPACE = 1
_ALIGNMENTS: Final = (5, 6, 7, 8)
# cublasStatus_t.
_STATUSES = {
    1: "NOT_INITIALIZED",
    3: "ALLOC_FAILED",
    7: "INVALID_VALUE",
    8: "ARCH_MISMATCH",
    11: "MAPPING_ERROR",
    13: "EXECUTION_FAILED",
    14: "INTERNAL_ERROR",
    15: "NOT_SUPPORTED",
    16: "LICENSE_ERROR",
}
_ALGORITHM_BYTES = 64


class Kind(NamedTuple):
    """How numbers of a dtype are multiplied.

    `data` and `scale` are of cudaDataType, `compute` of cublasComputeType_t; `factor` makes a
    number that the whole product is multiplied by, as the host passes it.
    """

    data: int
    scale: int
    compute: int
    factor: Callable[[float], Any]


class Operand(NamedTuple):
    """How the matrices of one side lie: by columns, `lead` elements from one to the next.

    `operation` is what is done to them, `step` how many elements lie between two of a batch.
    """

    operation: int
    lead: int
    step: int


class Problem(NamedTuple):
    """All that decides how a product is computed: `rows` by `inner` times `inner` by `columns`.

    `batch` is how many products there are; `alignments` are those of the addresses of left, right,
    result and vector, in bytes; `workspace` is the most memory that an algorithm may have beside.
    """

    data: int
    compute: int
    epilogue: int
    rows: int
    columns: int
    inner: int
    batch: int
    left: Operand
    right: Operand
    result: Operand
    alignments: tuple[int, ...]
    workspace: int


class Algorithm(NamedTuple):
    """One way to compute a product: what the library calls it, and the bytes that it needs."""

    content: bytes
    workspace: int


class _Found(ctypes.Structure):
    """`cublasLtMatmulHeuristicResult_t`."""

    _fields_ = (
        ("algorithm", c_char * _ALGORITHM_BYTES),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


class _Owned:
    """An object of the library that is destroyed with this one; ctypes takes it as it is."""

    __slots__ = ("_as_parameter_", "_destroy")

    def __init__(self, library: Library, kind: str, *arguments: Any) -> None:
        handle = c_void_p()
        self._destroy = getattr(library.quick, f"cublasLt{kind}Destroy")
        create = getattr(library.quick, f"cublasLt{kind}Create")
        library.check(create(byref(handle), *arguments), f"cublasLt{kind}Create")
        self._as_parameter_ = handle

    def __del__(self) -> None:
        handle = getattr(self, "_as_parameter_", None)
        if handle is not None:
            self._destroy(handle)


class Library:
    """The functions of cuBLASLt, and a handle for the card that is current as this is made.

    Raises InternalError where there is no handle to be had.
    """

    def __init__(self, loaded: tuple[Any, Any]) -> None:
        # Calls that last keep no other thread from running Python, and those that do not last do.
        self.free, self.quick = loaded
        self.quick.cublasLtGetVersion.restype = c_size_t
        self.version = int(self.quick.cublasLtGetVersion())
        self._handle = c_void_p()
        self.check(self.free.cublasLtCreate(byref(self._handle)), "cublasLtCreate")

    def check(self, status: int, what: str) -> None:
        """Raise InternalError unless a call has succeeded."""
        if status:
            text = f"{what} failed: CUBLAS_STATUS_{_STATUSES.get(status, status)}"
            raise InternalError(None, None, text)

    def set(self, kind: str, owned: _Owned, attribute: int, value: Any) -> None:
        """Set an attribute of a description, to a value of ctypes."""
        function = getattr(self.quick, f"cublasLt{kind}SetAttribute")
        status = function(owned, c_int(attribute), byref(value), c_size_t(ctypes.sizeof(value)))
        self.check(status, f"cublasLt{kind}SetAttribute of {attribute}")

    def proposals(
        self, product: Product, most_workspace: int, count: int, vector: int
    ) -> list[Algorithm]:
        """So many algorithms at most, the one that the library holds for the fastest first.

        None where it cannot compute the product, with a vector at this address.
        """
        preference = _Owned(self, "MatmulPreference")
        self.set("MatmulPreference", preference, _MOST_WORKSPACE, c_uint64(most_workspace))
        left, right, result, _ = product.problem.alignments
        for attribute, alignment in zip(_ALIGNMENTS, (left, right, result, result), strict=True):
            self.set("MatmulPreference", preference, attribute, c_uint32(alignment))
        product.point_to(vector)
        found, number = (_Found * count)(), c_int()
        status = self.free.cublasLtMatmulAlgoGetHeuristic(
            self._handle, *product.descriptions, preference, c_int(count), found, byref(number)
        )
        if status in (7, 15):
            return []
        self.check(status, "cublasLtMatmulAlgoGetHeuristic")
        return [
            Algorithm(bytes(one)[:_ALGORITHM_BYTES], int(one.workspace))
            for one in found[: number.value]
            if not one.state
        ]

    def fits(self, product: Product, algorithm: Algorithm) -> bool:
        """Whether an algorithm computes a product on this card, with as much workspace."""
        content = ctypes.create_string_buffer(algorithm.content, _ALGORITHM_BYTES)
        found = _Found()
        status = self.free.cublasLtMatmulAlgoCheck(
            self._handle, *product.descriptions, content, byref(found)
        )
        return not status and found.workspace <= algorithm.workspace


class Product:
    """A product of matrices as the library has it described, for one Problem.

    The library counts along columns: its left side is what lies on the left in memory.
    """

    def __init__(self, library: Library, problem: Problem, kind: Kind) -> None:
        self.problem, self._library = problem, library
        self._lock = forking.lock()
        desc = _Owned(library, "MatmulDesc", c_int(kind.compute), c_int(kind.scale))
        for attribute, operand in zip(_TRANSPOSES, (problem.left, problem.right), strict=True):
            library.set("MatmulDesc", desc, attribute, c_int(operand.operation))
        library.set("MatmulDesc", desc, _EPILOGUE, c_uint32(problem.epilogue))
        self._has_vector = problem.epilogue & (BIAS | GRADIENT_OF_BIAS) != 0
        left = self._layout(problem.left, problem.rows, problem.inner)
        right = self._layout(problem.right, problem.inner, problem.columns)
        result = self._layout(problem.result, problem.rows, problem.columns)
        self.descriptions = desc, left, right, result, result
        self._one, self._zero = kind.factor(1), kind.factor(0)

    def _layout(self, operand: Operand, rows: int, columns: int) -> _Owned:
        if operand.operation != AS_IT_IS:
            rows, columns = columns, rows
        library, problem = self._library, self.problem
        layout = _Owned(
            library,
            "MatrixLayout",
            *(c_int(problem.data), c_uint64(rows), c_uint64(columns), c_int64(operand.lead)),
        )
        if problem.batch > 1:
            library.set("MatrixLayout", layout, _BATCH_COUNT, c_int(problem.batch))
            library.set("MatrixLayout", layout, _BATCH_STRIDE, c_int64(operand.step))
        return layout

    def point_to(self, vector: int) -> None:
        """Tell where the bias, or its gradient, lies."""
        if self._has_vector:
            desc = self.descriptions[0]
            self._library.set("MatmulDesc", desc, _BIAS_POINTER, c_void_p(vector))

    def run(
        self,
        algorithm: Algorithm,
        addresses: Sequence[int],
        workspace: int,
        stream: int,
        vector: int = 0,
    ) -> None:
        """Queue the product.

        Args:
            algorithm: how.
            addresses: of the left and the right side and of the result.
            workspace: the address of as many bytes as the algorithm needs.
            stream: where, as CUDA has its address.
            vector: the address of the bias to add, or of where to put the gradient of one.

        Raises InternalError where the library refuses.
        """
        library = self._library
        desc, left, right, result, _ = self.descriptions
        a, b, d = map(c_void_p, addresses)
        with self._lock:
            self.point_to(vector)
            status = library.free.cublasLtMatmul(
                *(library._handle, desc, byref(self._one), a, left, b, right),
                *(byref(self._zero), d, result, d, result, algorithm.content),
                *(c_void_p(workspace), c_size_t(algorithm.workspace), c_void_p(stream)),
            )
        library.check(status, "cublasLtMatmul")


# --- finding it -----------------------------------------------------------------------------------


def _from_pathfinder() -> Iterator[str]:
    """Where NVIDIA's own search finds it, as CuPy uses it: wheels, Conda, the toolkit."""
    try:
        from cuda import pathfinder  # noqa: PLC0415  comes with CuPy

        found = pathfinder.load_nvidia_dynamic_lib("cublasLt").abs_path
    except Exception:  # whatever it is, the library is looked for elsewhere
        return
    if found:
        yield str(found)


def _from_wheels() -> Iterator[str]:
    for root in sys.path:
        for folder in ("cublas/lib", "cu13/lib"):
            found = Path(root, "nvidia", folder).glob("libcublasLt.so.*")
            yield from map(str, sorted(found))


def _by_name() -> Iterator[str]:
    for major in _MAJORS:
        yield f"libcublasLt.so.{major}"
        yield f"cublasLt64_{major}.dll"


@cache
def load() -> tuple[Any, Any] | None:
    """The library, twice: for calls that last, and for those that do not; None if there is none."""
    for find in (_from_pathfinder, _from_wheels, _by_name):
        for path in find():
            try:
                free, quick = ctypes.CDLL(path), ctypes.PyDLL(path)
                quick.cublasLtGetVersion.restype = c_size_t
                if quick.cublasLtGetVersion() // 10000 in _MAJORS:
                    return free, quick
            except (OSError, AttributeError):
                continue
    return None
