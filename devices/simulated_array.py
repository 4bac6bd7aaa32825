"""The array of a simulated device: NumPy's operators and methods, CuPy's manners.

No buffer protocol and no implicit conversion; a function of no axis gives an array of rank 0,
never a scalar.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.devices.memory import root_of

if TYPE_CHECKING:
    from tfsession.devices.simulated import SimulatedDevice
    from tfsession.devices.simulated_stream import Accesses

__all__ = ["SimulatedArray", "settle", "unwrap"]

# kDLExtDev of DLPack: memory that no other library knows how to read.
_DLPACK_EXTENSION = 12

_HostArray = np.ndarray[Any, Any]
# What a count takes that the host reads.
_COUNT_BYTES = 8
Again = Callable[[], Any] | None

# These leave their result undefined: there is nothing to do again.
_UNDEFINED = (np.empty, np.empty_like)
# How much these give is known once the device has counted: the host waits for that.
_COUNTING = frozenset(
    [
        *(np.nonzero, np.flatnonzero, np.argwhere, np.extract, np.compress, np.trim_zeros),
        *(np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values),
        *(np.intersect1d, np.union1d, np.setdiff1d, np.setxor1d),
        *(np.ndarray.nonzero, np.ndarray.compress),
    ]
)
# CuPy sorts by Thrust, which ends with a wait for the stream; it looks at numbers that it counts.
_WAITING = frozenset(
    [
        *(np.sort, np.argsort, np.lexsort, np.argpartition, np.bincount),
        *(np.ndarray.sort, np.ndarray.argsort, np.ndarray.argpartition),
    ]
)
# What CuPy multiplies by cuBLAS, which it refuses to call while a stream captures.
_OF_CUBLAS = frozenset([np.tensordot, np.vdot, np.inner])
# These write into their first argument, as the method `at` of ufuncs does, and give None.
_WRITING = frozenset(
    [
        *(np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis),
        *(np.ndarray.fill, np.ndarray.put, np.ndarray.sort, np.ndarray.partition),
    ]
)


def unwrap(device: SimulatedDevice, value: Any, seen: list[SimulatedArray]) -> Any:
    """`value` with the memory of this device's arrays in their place; `seen` collects the arrays.

    TypeError for arrays of the host and of other devices. Scalars and texts pass.
    """
    kind = type(value)
    if kind is SimulatedArray:
        seen.append(value)
        return device.host_of(value)
    if kind is list or kind is tuple:
        return kind(unwrap(device, item, seen) for item in value)
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {kind}")
    return value


def settle(
    device: SimulatedDevice, result: Any, seen: list[SimulatedArray], again: Again = None
) -> Any:
    """A NumPy result as this device's: views share their source's charge, the rest is charged.

    `again` gives the result anew, for who records the step; None where it is not defined.
    """
    if isinstance(result, np.ndarray):
        root = result if result.base is None else root_of(result)
        for source in seen:
            if source._root is root:
                return source._view(result)
        return device.computed(result, root, seen, again)
    if isinstance(result, np.generic):
        host = np.asarray(result)
        return device.computed(host, host, seen, again)
    if isinstance(result, tuple | list):
        items = [
            settle(device, item, seen, again and partial(_item, again, number))
            for number, item in enumerate(result)
        ]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def _item(again: Callable[[], Any], number: int) -> Any:
    return again()[number]


def call(device: SimulatedDevice, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """`function` over the memory of this device's arrays, its result as this device's."""
    seen: list[SimulatedArray] = []
    hosts = []
    for value in args:
        if type(value) is SimulatedArray and value._device is device:  # the usual case, in line
            seen.append(value)
            hosts.append(value._host)
        else:
            hosts.append(unwrap(device, value, seen))
    named = {key: unwrap(device, value, seen) for key, value in kwargs.items()} if kwargs else {}
    work = partial(function, *hosts, **named)
    out = kwargs.get("out") if named else None
    if out is None and isinstance(function, np.ufunc) and len(args) > function.nin:
        out = args[function.nin] if function.nout == 1 else args[function.nin :]
    if out is not None:
        written = out if isinstance(out, tuple) else (out,)
        device.write(written, work, seen)
        return out
    if function in _WAITING:
        device.waits(seen, function.__name__)
    if function in _OF_CUBLAS or (function is np.einsum and len(seen) > 1):
        device.watch.refuse(function.__name__)
    if function in _WRITING or getattr(function, "__name__", "") == "at":
        return device.write([args[0]], work, seen)
    if seen and (function in _COUNTING or (function is np.where and len(args) == 1)):
        device.reads(seen[0], _COUNT_BYTES)
    return settle(device, work(), seen, None if function in _UNDEFINED else work)


def _holds_truths(index: Any) -> bool:
    """Whether an index takes the elements where an array of truths says so."""
    if isinstance(index, tuple | list):
        return any(map(_holds_truths, index))
    return isinstance(index, SimulatedArray) and index.dtype == bool and bool(index.ndim)


class SimulatedArray:
    """An array in a simulated device's memory. Made by the device, never by hand."""

    __slots__ = ("__weakref__", "_accesses", "_charge", "_device", "_host", "_of", "_root")

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        device: SimulatedDevice,
        host: _HostArray,
        root: _HostArray,
        charge: object,
        accesses: Accesses,
    ) -> None:
        self._device = device
        self._host = host
        self._root = root
        self._charge = charge
        self._accesses = accesses
        self._of: SimulatedArray | None = None

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DLPACK_EXTENSION, self._device.index

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        raise BufferError(f"Only {self._device.name} itself reads the memory of a simulated device")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if getattr(np, ufunc.__name__, None) is not ufunc:
            return NotImplemented  # SciPy's and others': CuPy's arrays do not answer to them
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return call(self._device, getattr(ufunc, method), inputs, kwargs)

    @property
    def device(self) -> SimulatedDevice:
        """The device whose memory this is."""
        return self._device

    @property
    def data(self) -> SimpleNamespace:
        """Where the elements begin, as `ptr`."""
        return SimpleNamespace(ptr=self._device.address(self))

    @property
    def base(self) -> SimulatedArray | None:
        """The array that holds the memory of a view; None for one that holds its own."""
        if self._root is self._host:
            return None
        return self._view(self._root)

    @property
    def T(self) -> SimulatedArray:
        """The transposed view."""
        return self._view(self._host.T)

    @property
    def mT(self) -> SimulatedArray:
        """The view with the last two axes swapped."""
        return self._view(self._host.mT)

    @property
    def real(self) -> SimulatedArray:
        """The real part, a view."""
        return self._view(self._host.real)

    @property
    def imag(self) -> SimulatedArray:
        """The imaginary part: a view, or zeros for a real array."""
        again = partial(getattr, self._host, "imag")
        result: SimulatedArray = settle(self._device, self._host.imag, [self], again)
        return result

    def _view(self, host: _HostArray) -> SimulatedArray:
        view = SimulatedArray(self._device, host, self._root, self._charge, self._accesses)
        # As CuPy's and NumPy's, a view holds the array that it is one of: who asks counts that.
        view._of = self if self._of is None else self._of
        return view

    def __getitem__(self, index: Any) -> SimulatedArray:
        seen = [self]
        at = unwrap(self._device, index, seen)
        if len(seen) > 1 and _holds_truths(index):
            self._device.reads(self, _COUNT_BYTES)
        found = self._host[at]
        if not isinstance(found, np.ndarray):  # NumPy's scalar: take the array of rank 0 instead
            found = self._host[(*at, ...) if isinstance(at, tuple) else (at, ...)]
        again = partial(operator.getitem, self._host, at)
        result: SimulatedArray = settle(self._device, found, seen, again)
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        seen: list[SimulatedArray] = []
        at = unwrap(self._device, index, seen)
        work = partial(operator.setitem, self._host, at, unwrap(self._device, value, seen))
        self._device.write([self], work, seen)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[SimulatedArray]:
        return (self[i] for i in range(len(self._host)))

    def get(self) -> _HostArray:
        """A host copy, waited for."""
        self._device.reads(self, self._host.nbytes)
        return self._host.copy()

    def set(self, host: Any) -> None:
        """Overwrites the content by a host array's of the same shape and type."""
        if host.dtype != self.dtype or host.shape != self.shape:
            raise ValueError(f"cannot set {self.shape} {self.dtype} to {host.shape} {host.dtype}")
        self._device.uploads(self)
        self._device.write([self], partial(np.copyto, self._host, host))

    def item(self, *args: Any) -> Any:
        """One element as a Python scalar, waited for."""
        self._device.reads(self, self._host.itemsize)
        return self._host.item(*args)

    def tolist(self) -> Any:
        """Nested lists of Python scalars, waited for."""
        return self.get().tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """The content as bytes, waited for."""
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return f"<SimulatedArray {self._host!r} on {self._device.name}>"

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()


def _attribute(name: str) -> property:
    def read(self: SimulatedArray) -> Any:
        return getattr(self._host, name)

    return property(read, doc=f"As of a NumPy array: {name}.")


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def method(self: SimulatedArray, *args: Any, **kwargs: Any) -> Any:
        return call(self._device, function, (self, *args), kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`; an array of rank 0 in place of a scalar."
    return method


_OPERANDS = (SimulatedArray, int, float, complex, bool, np.generic)


def _binary(ufunc: Callable[..., Any], reverse: bool = False) -> Callable[[Any, Any], Any]:
    def operate(self: SimulatedArray, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            if isinstance(other, np.ndarray):
                raise TypeError(f"Unsupported type {type(other)}")
            return NotImplemented
        pair = (other, self) if reverse else (self, other)
        return call(self._device, ufunc, pair, None)

    return operate


def _in_place(update: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operate(self: SimulatedArray, other: Any) -> Any:
        seen: list[SimulatedArray] = []
        work = partial(update, self._host, unwrap(self._device, other, seen))
        self._device.write([self], work, seen)
        return self

    return operate


def _unary(ufunc: Callable[..., Any]) -> Callable[[Any], Any]:
    def operate(self: SimulatedArray) -> Any:
        return call(self._device, ufunc, (self,), None)

    return operate


_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "divmod": np.divmod,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
_COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
_ATTRIBUTES = ["shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "flags"]
_METHODS = """
    all any argmax argmin argpartition argsort astype choose clip compress conj conjugate copy
    cumprod cumsum diagonal dot fill flatten max mean min nonzero partition prod put ravel repeat
    reshape round searchsorted sort squeeze std sum swapaxes take trace transpose var view
"""

for _name, _ufunc in _BINARY.items():
    setattr(SimulatedArray, f"__{_name}__", _binary(_ufunc))
    setattr(SimulatedArray, f"__r{_name}__", _binary(_ufunc, reverse=True))
    if _name not in ("matmul", "divmod"):
        _update = getattr(operator, f"__i{_name}__")
        setattr(SimulatedArray, f"__i{_name}__", _in_place(_update))
for _name, _ufunc in _COMPARISONS.items():
    setattr(SimulatedArray, f"__{_name}__", _binary(_ufunc))
for _name, _ufunc in _UNARY.items():
    setattr(SimulatedArray, f"__{_name}__", _unary(_ufunc))
for _name in _ATTRIBUTES:
    setattr(SimulatedArray, _name, _attribute(_name))
for _name in _METHODS.split():
    setattr(SimulatedArray, _name, _method(_name))
