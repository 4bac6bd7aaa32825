"""oneDNN, where it is installed: primitives of neural networks for arrays in host memory.

A primitive is compiled for the shapes it is for, and kept. It computes on the thread that runs it,
so that work is cut and shared as all other work is (`devices.threads`), and a process that forks
leaves no threads behind. What oneDNN cannot do, or only slowly, the kernels do themselves.

The functions are those of version 3 of its C interface (oneapi/dnnl/dnnl.h), which is stable.
"""

from __future__ import annotations

import ctypes
import os
import site
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from ctypes import c_char, c_char_p, c_int, c_int64, c_size_t, c_void_p
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfsession.devices.workspace import Workspace

__all__ = ["Description", "Layout", "Library", "Primitive", "description", "dnn_library"]

# TensorFlow's own switch.
SWITCH = "TF_ENABLE_ONEDNN_OPTS"
_NAMES = ("libdnnl.so.3", "libdnnl.3.dylib")
_MAJOR = 3
_CPU = 1
_IN_ORDER = 1
_USER_SCRATCHPAD = 1
_SCRATCHPAD = 80
_MOST_DIMENSIONS = 12
_FLOAT32 = 3
_ANY_ORDER = 1
# Threads that are its own: none, or those of OpenMP, which can be told to be none.
_RUNTIMES = {0: "none", 1: "sequential", 2: "OpenMP", 4: "TBB", 8: "thread pool", 512: "SYCL"}
_USABLE_RUNTIMES = (1, 2)
# What describes a primitive can be asked for.
_IMPLEMENTATION = 8
_SCRATCHPAD_LAYOUT = 136
# Implementations that are there to compare others with.
_SLOW = (b"ref", b"simple")


class _Version(ctypes.Structure):
    _fields_ = (
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", c_char_p),
        ("cpu_runtime", ctypes.c_uint),
        ("gpu_runtime", ctypes.c_uint),
    )


class _Argument(ctypes.Structure):
    _fields_ = (("code", c_int), ("memory", c_void_p))


class _Owned:
    """An object of the library that is destroyed with this one; ctypes takes it as it is."""

    __slots__ = ("__weakref__", "_as_parameter_", "_destroy")

    def __init__(self, handle: c_void_p, destroy: Callable[[c_void_p], object]) -> None:
        self._as_parameter_ = handle
        self._destroy = destroy

    def __del__(self) -> None:
        self._destroy(self._as_parameter_)


class Layout(_Owned):
    """How an array of some shape lies in memory, in so many bytes."""

    __slots__ = ("nbytes",)

    def __init__(self, library: Library, handle: c_void_p) -> None:
        super().__init__(handle, library.quick.dnnl_memory_desc_destroy)
        self.nbytes = int(library.quick.dnnl_memory_desc_get_size(handle))


# What is done with a result: an algorithm, and the layout of another argument.
Operation = tuple[int, Layout | None]


class Description(_Owned):
    """A primitive before it is compiled; `name` says how it would compute."""

    __slots__ = ("_library", "name")

    def __init__(self, library: Library, handle: c_void_p) -> None:
        super().__init__(handle, library.quick.dnnl_primitive_desc_destroy)
        self._library = library
        name = c_char_p()
        query = library.quick.dnnl_primitive_desc_query
        library.check(query(self, c_int(_IMPLEMENTATION), c_int(0), ctypes.byref(name)))
        self.name = name.value or b""

    def layout(self, what: int) -> Layout:
        """How the primitive wants an array to lie, or what it wants to keep: `dnnl_query_t`."""
        borrowed = self._library.quick.dnnl_primitive_desc_query_md(self, c_int(what), c_int(0))
        return self._library.owned_layout("clone", c_void_p(borrowed))


def _address(array: Any) -> int:
    """Where an array begins; NumPy's own way to tell takes three times as long."""
    try:
        return ctypes.addressof(c_char.from_buffer(array))
    except (TypeError, ValueError):  # one that cannot be written to, or has gaps
        return int(array.__array_interface__["data"][0])


class _Prepared(NamedTuple):
    """The places of the arguments of a primitive on a thread, and what they hold now."""

    memories: list[_Owned]
    arguments: Any
    addresses: list[int]


class Primitive:
    """A compiled primitive: `primitive(*arrays)` runs it, on the calling thread.

    Args:
        library: whose primitive it is.
        description: what to compile.
        arguments: the layouts of the arrays by their codes (`DNNL_ARG_*`), in the order of a call.
    """

    def __init__(
        self, library: Library, description: Description, arguments: Mapping[int, Layout]
    ) -> None:
        handle = c_void_p()
        with library.alone:
            status = library.quick.dnnl_primitive_create(ctypes.byref(handle), description)
        library.check(status)
        self._handle = _Owned(handle, library.quick.dnnl_primitive_destroy)
        self._library = library
        scratchpad = description.layout(_SCRATCHPAD_LAYOUT)
        self._scratch_shape = (scratchpad.nbytes,)
        self._arguments = dict(arguments)
        if scratchpad.nbytes:
            self._arguments[_SCRATCHPAD] = scratchpad
        self._sizes = [layout.nbytes for layout in arguments.values()]
        self._of_thread = threading.local()

    def _prepare(self) -> _Prepared:
        """The places of the arguments, for the calling thread."""
        memories = [self._library.memory(layout) for layout in self._arguments.values()]
        arguments = (_Argument * len(memories))()
        for place, code, memory in zip(arguments, self._arguments, memories, strict=True):
            place.code, place.memory = code, memory._as_parameter_
        found = _Prepared(memories, arguments, [0] * len(memories))
        self._of_thread.prepared = found
        return found

    def __call__(self, *arrays: Any) -> None:
        """Run it on arrays in host memory, which lie as their layouts say, without gaps."""
        for nbytes, array in zip(self._sizes, arrays, strict=True):
            # Anything else would be read or written beyond its end.
            if array.nbytes != nbytes or not array.flags.c_contiguous:
                raise ValueError(f"an array of {array.nbytes} bytes where {nbytes} belong")
        self.run(*arrays)

    def run(self, *arrays: Any) -> None:
        """Run it on arrays that are known to have the shapes and strides of their layouts."""
        if not self._scratch_shape[0]:
            self._run(arrays)
            return
        with Workspace(np) as take:
            self._run((*arrays, take(self._scratch_shape, np.uint8)))

    def _run(self, arrays: Sequence[Any]) -> None:
        library = self._library
        prepared = getattr(self._of_thread, "prepared", None) or self._prepare()
        memories, arguments, addresses = prepared
        for index, array in enumerate(arrays):
            address = _address(array)
            if address != addresses[index]:
                library.quick.dnnl_memory_set_data_handle(memories[index], c_void_p(address))
                addresses[index] = address
        with library.alone:
            status = library.free.dnnl_primitive_execute(
                self._handle, library.stream(), len(memories), arguments
            )
        library.check(status)


class _OneThread:
    """While the calling thread is inside, OpenMP starts no others for it.

    A primitive has as many threads as there were when it was described, so descriptions belong
    here, too. OpenMP keeps the number for each thread that calls it.
    """

    def __init__(self, get: Callable[[], int], set: Callable[[int], object]) -> None:
        self._get, self._set = get, set
        self._of_thread = threading.local()

    def __enter__(self) -> None:
        self._of_thread.before = before = self._get()
        if before != 1:
            self._set(1)

    def __exit__(self, *exception: object) -> None:
        if self._of_thread.before != 1:
            self._set(self._of_thread.before)


def _alone(quick: Any) -> AbstractContextManager[None]:
    """A context in which the library computes on the thread that calls it."""
    try:
        return _OneThread(quick.omp_get_max_threads, quick.omp_set_num_threads)
    except AttributeError:
        return nullcontext()


class _Loaded(NamedTuple):
    path: str
    version: _Version
    # Calls that last keep no other thread from running Python, and those that do not last do.
    free: Any
    quick: Any

    def text(self) -> str:
        found = self.version
        runtime = _RUNTIMES.get(found.cpu_runtime, "unknown")
        return f"{found.major}.{found.minor}.{found.patch}, threads: {runtime}"

    def refusal(self) -> str:
        """Why it cannot be used; empty if it can."""
        if self.version.major != _MAJOR:
            return f"version {_MAJOR} is wanted"
        if self.version.cpu_runtime not in _USABLE_RUNTIMES:
            return "one built with OpenMP is wanted"
        return ""


class Library:
    """The functions of oneDNN, and what every call of them needs."""

    def __init__(self, loaded: _Loaded) -> None:
        self.free, self.quick = loaded.free, loaded.quick
        self.quick.dnnl_primitive_desc_query_md.restype = c_void_p
        self.quick.dnnl_memory_desc_get_size.restype = c_size_t
        self.alone = _alone(self.quick)
        engine = c_void_p()
        self.check(self.quick.dnnl_engine_create(ctypes.byref(engine), c_int(_CPU), c_size_t(0)))
        self._engine = _Owned(engine, self.quick.dnnl_engine_destroy)
        self._attributes = self._new_attributes()
        self._of_thread = threading.local()

    def _new_attributes(self) -> _Owned:
        handle = c_void_p()
        self.check(self.quick.dnnl_primitive_attr_create(ctypes.byref(handle)))
        found = _Owned(handle, self.quick.dnnl_primitive_attr_destroy)
        mode = c_int(_USER_SCRATCHPAD)
        self.check(self.quick.dnnl_primitive_attr_set_scratchpad_mode(found, mode))
        return found

    def _followed(self, then: Sequence[Operation]) -> _Owned:
        """The attributes of a primitive that does more with its result, before it is written."""
        handle = c_void_p()
        self.check(self.quick.dnnl_post_ops_create(ctypes.byref(handle)))
        operations = _Owned(handle, self.quick.dnnl_post_ops_destroy)
        for algorithm, layout in then:
            kind = "eltwise" if layout is None else "binary"
            arguments = (self.number(0),) * 2 if layout is None else (layout,)
            function = getattr(self.quick, f"dnnl_post_ops_append_{kind}")
            self.check(function(operations, c_int(algorithm), *arguments))
        found = self._new_attributes()
        self.check(self.quick.dnnl_primitive_attr_set_post_ops(found, operations))
        return found

    def check(self, status: int) -> None:
        """Raise RuntimeError unless a call has succeeded."""
        if status:
            raise RuntimeError(f"oneDNN has failed with status {status}")

    def stream(self) -> _Owned:
        """The stream of the calling thread."""
        found: _Owned | None = getattr(self._of_thread, "stream", None)
        if found is None:
            handle = c_void_p()
            self.check(
                self.quick.dnnl_stream_create(ctypes.byref(handle), self._engine, c_int(_IN_ORDER))
            )
            found = self._of_thread.stream = _Owned(handle, self.quick.dnnl_stream_destroy)
        return found

    # --- arrays -----------------------------------------------------------------------------------

    def owned_layout(self, verb: str, *arguments: Any) -> Layout:
        """What a function `dnnl_memory_desc_<verb>` makes."""
        handle = c_void_p()
        function = getattr(self.quick, f"dnnl_memory_desc_{verb}")
        self.check(function(ctypes.byref(handle), *arguments))
        return Layout(self, handle)

    def layout(self, shape: Sequence[int], strides: Sequence[int] | None = None) -> Layout:
        """An array of float32, its strides in elements; None: as the library likes it best."""
        if strides is None:
            how, order = "create_with_tag", c_int(_ANY_ORDER)
        else:
            how, order = "create_with_strides", self.numbers(strides)
        return self.owned_layout(
            how, c_int(len(shape)), self.numbers(shape), c_int(_FLOAT32), order
        )

    def channels_last(self, shape: Sequence[int]) -> Layout:
        """An array `[batch, *sizes, channels]` without gaps; the library has channels second."""
        batch, *sizes, channels = shape
        steps = [channels] * len(sizes)
        for d in reversed(range(len(sizes) - 1)):
            steps[d] = steps[d + 1] * sizes[d + 1]
        whole = steps[0] * sizes[0] if sizes else channels
        return self.layout((batch, channels, *sizes), (whole, 1, *steps))

    def numbers(self, values: Sequence[int]) -> Any:
        """A `dnnl_dims_t`."""
        return (c_int64 * _MOST_DIMENSIONS)(*values)

    def number(self, value: float) -> Any:
        """A `float`."""
        return ctypes.c_float(value)

    def memory(self, layout: Layout) -> _Owned:
        """A place for an array, without one."""
        handle = c_void_p()
        self.check(
            self.quick.dnnl_memory_create(ctypes.byref(handle), layout, self._engine, c_void_p())
        )
        return _Owned(handle, self.quick.dnnl_memory_destroy)

    # --- primitives -------------------------------------------------------------------------------

    def describe(
        self, kind: str, *arguments: Any, then: Sequence[Operation] = ()
    ) -> Description | None:
        """What `dnnl_<kind>_primitive_desc_create` makes; None where it would be slow or cannot.

        Args:
            kind: of the primitive.
            arguments: what the function takes between the engine and the attributes.
            then: operations on the result, by algorithm (`dnnl_alg_kind_t`), with the layout of
                the other argument where there is one.
        """
        handle = c_void_p()
        create = getattr(self.quick, f"dnnl_{kind}_primitive_desc_create")
        attributes = self._followed(then) if then else self._attributes
        with self.alone:
            status = create(ctypes.byref(handle), self._engine, *arguments, attributes)
        if status:
            return None
        found = Description(self, handle)
        return None if found.name.startswith(_SLOW) else found

    def compiled(
        self, found: Description | None, arguments: Mapping[int, Layout]
    ) -> Primitive | None:
        """The primitive that is described, for arrays of these layouts; None if there is none."""
        return None if found is None else Primitive(self, found, arguments)

    def reorder(self, given: Layout, wanted: Layout) -> Primitive:
        """The copy from one layout to another."""
        handle = c_void_p()
        create = self.quick.dnnl_reorder_primitive_desc_create
        engines = given, self._engine, wanted, self._engine
        with self.alone:
            status = create(ctypes.byref(handle), *engines, self._attributes)
        self.check(status)
        return Primitive(self, Description(self, handle), {1: given, 17: wanted})


# --- finding it -----------------------------------------------------------------------------------


def dnn_library(xp: Any, *arrays: Any) -> Library | None:
    """The library of neural networks that takes these arrays of `xp`; None where there is none.

    It takes those of float32 in host memory that have elements, and no gaps between them. None, for
    an array that does not lie as it should, is not taken.
    """
    library = _library() if xp is np else None
    if library is not None:
        for array in arrays:
            if array is None or array.dtype != np.float32 or not array.size:
                return None
            if not array.flags.c_contiguous:
                return None
    return library


def description() -> str:
    """The library in a line, or why there is none."""
    loaded = _loaded()
    if loaded is None:
        return "not installed"
    if not _is_wanted():
        return f"{loaded.text()}; not used, {SWITCH}=0"
    refusal = loaded.refusal()
    return loaded.text() + (f"; not used, {refusal}" if refusal else "")


def _is_wanted() -> bool:
    return os.environ.get(SWITCH, "1").strip().lower() not in ("0", "false")


@cache
def _library() -> Library | None:
    loaded = _loaded() if _is_wanted() else None
    return None if loaded is None or loaded.refusal() else Library(loaded)


def _places() -> list[str]:
    """Where it may be: with the libraries of the environment, of the user, or of the system."""
    roots = dict.fromkeys((sys.prefix, sys.base_prefix, site.getuserbase()))
    found = [Path(root, "lib", name) for root in roots for name in _NAMES]
    system = find_library("dnnl") if not any(path.exists() for path in found) else None
    return [str(path) for path in found if path.exists()] + ([system] if system else [])


@cache
def _loaded() -> _Loaded | None:
    for path in _places():
        try:
            free, quick = ctypes.CDLL(path), ctypes.PyDLL(path)
            quick.dnnl_version.restype = ctypes.POINTER(_Version)
            return _Loaded(path, quick.dnnl_version().contents, free, quick)
        except (OSError, AttributeError):
            continue
    return None
