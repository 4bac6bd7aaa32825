"""The array module of a simulated device: what CuPy has of NumPy, over the device's own arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.devices.code_texts import texts
from tfsession.devices.constants import Constants
from tfsession.devices.simulated_array import SimulatedArray, call, settle, unwrap

if TYPE_CHECKING:
    from tfsession.devices.simulated import SimulatedDevice

__all__ = ["SimulatedNumpy"]

# NumPy's names that CuPy 14 lacks: a kernel that needs one would fail on a GPU.
_ABSENT_TEXT = {
    "numpy": """
        asmatrix block bmat busday_count busday_offset busdaycalendar char core ctypeslib
        datetime64 datetime_as_string datetime_data dtypes einsum_path emath errstate frompyfunc
        fromregex geomspace getbufsize geterr geterrcall histogram_bin_edges info insert is_busday
        isnat longdouble ma matrix matvec memmap nanpercentile nanquantile ndenumerate nditer
        nested_iters object_ polyder polydiv polyint rec recarray record setbufsize seterr
        seterrcall spacing str_ strings timedelta64 typecodes unstack vecdot vecmat void
    """,
    "linalg": "diagonal matrix_norm multi_dot outer svdvals tensordot trace vecdot vector_norm",
}
_ABSENT = {module: frozenset(names.split()) for module, names in _ABSENT_TEXT.items()}
# Functions that take what lies on the host, by copying it over.
_UPLOADING = frozenset(["array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"])
# Functions whose answer NumPy gives as a Python scalar, CuPy as an array of rank 0.
_ARRAY_ANSWER = frozenset(["allclose", "array_equal", "array_equiv", "count_nonzero"])
# Functions of `linalg` that CuPy computes by its own kernels.
_PLAIN_ALGEBRA = frozenset(["cross", "matrix_transpose", "norm"])
_UFUNC_METHODS = ("reduce", "accumulate", "reduceat", "outer", "at")


class _Ufunc:
    """A ufunc over one device's arrays."""

    def __init__(self, device: SimulatedDevice, ufunc: np.ufunc) -> None:
        self._device = device
        self._ufunc = ufunc
        self.__name__ = ufunc.__name__
        self.nin = ufunc.nin
        self.nout = ufunc.nout
        for name in _UFUNC_METHODS:
            setattr(self, name, _bound(device, getattr(ufunc, name)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > self.nin:  # `out` by its position
            args, kwargs["out"] = args[: self.nin], args[self.nin]
        return call(self._device, self._ufunc, args, kwargs)

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__!r} of {self._device.name}>"


def _one_kernel(function: Any, arrays: Any) -> list[Any]:
    return [np.array(result, copy=None) for result in function(np, *arrays)]


class _Again:
    """The results of one kernel, for who does a step again: made once for all that are asked for.

    They are asked for in their order, each time.
    """

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self.made = make
        self._results: list[Any] = []
        self._last = -1

    def __call__(self, number: int) -> Any:
        if number <= self._last or not self._results:
            self._results = self.made()
        self._last = number
        return self._results[number]


def _bound(device: SimulatedDevice, function: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        return call(device, function, args, kwargs)

    run.__name__ = getattr(function, "__name__", "run")
    return run


def _waiting(device: SimulatedDevice, function: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        seen: list[SimulatedArray] = []
        unwrap(device, args, seen)
        device.waits(seen, function.__name__)
        return call(device, function, args, kwargs)

    return run


def _as_array(device: SimulatedDevice, function: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        return call(device, lambda *a, **k: np.asarray(function(*a, **k)), args, kwargs)

    return run


def _uploading(device: SimulatedDevice, function: Any) -> Any:
    def run(value: Any, *args: Any, **kwargs: Any) -> Any:
        seen: list[SimulatedArray] = []
        if not isinstance(value, np.ndarray):
            unwrap(device, value, seen)
        if seen:
            return call(device, function, (value, *args), kwargs)
        array = device.upload(function(value, *args, **kwargs))
        device.uploads(array)
        return array

    return run


class SimulatedNumpy:
    """What `numpy` is to the host, and CuPy to a GPU, for one simulated device.

    Functions take this device's arrays and scalars and give this device's arrays.
    """

    def __init__(
        self, device: SimulatedDevice, module: ModuleType = np, name: str = "numpy"
    ) -> None:
        self._device = device
        self._module = module
        self.__name__ = name
        if module is np:
            self.constants = Constants(device.watch)
            self.code_texts = texts()
            self.ndarray = SimulatedArray
            self.linalg = SimulatedNumpy(device, np.linalg, "linalg")
            self.fft = SimulatedNumpy(device, np.fft, "fft")
            self.lib = SimpleNamespace(
                stride_tricks=SimulatedNumpy(device, np.lib.stride_tricks, "stride_tricks")
            )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name, None)
        if (
            name.startswith("__")
            or name in _ABSENT.get(self.__name__, ())
            or not hasattr(self._module, name)
            or isinstance(found, ModuleType)
        ):
            raise AttributeError(
                f"no {self.__name__}.{name} on a simulated device: CuPy has none, "
                "or it is not simulated"
            )
        if isinstance(found, np.ufunc):
            found = _Ufunc(self._device, found)
        elif callable(found) and not isinstance(found, type):
            if name in _UPLOADING:
                found = _uploading(self._device, found)
            elif self.__name__ == "linalg" and name not in _PLAIN_ALGEBRA:
                found = _waiting(self._device, found)
            elif name in _ARRAY_ANSWER:
                found = _as_array(self._device, found)
            else:
                found = _bound(self._device, found)
        setattr(self, name, found)  # the next look-up does not come here
        return found

    def as_one(self, function: Any, arrays: Any) -> list[Any]:
        """What `function(numpy, *arrays)` gives, a list of results, by one kernel of this device.

        What it makes on the way takes none of the device's memory.
        """
        device = self._device
        seen: list[SimulatedArray] = []
        hosts = [unwrap(device, array, seen) for array in arrays]
        again = _Again(partial(_one_kernel, function, hosts))
        results = [
            settle(device, result, seen, partial(again, number))
            for number, result in enumerate(again.made())
        ]
        device.launched_as_one(len(results))
        return results

    def change_as_one(self, function: Any, written: Any, values: Any) -> None:
        """Calls `function(numpy, values)`, which changes arrays in place: one kernel."""
        seen: list[SimulatedArray] = []
        hosts = [unwrap(self._device, value, seen) for value in values]
        self._device.write(written, partial(function, np, hosts), seen)

    def asnumpy(self, array: Any) -> Any:
        """A host copy of an array, waited for; CuPy's own."""
        return array.get() if isinstance(array, SimulatedArray) else np.asarray(array)

    def __repr__(self) -> str:
        return f"<{self.__name__} of {self._device.name}>"
