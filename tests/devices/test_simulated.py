"""The simulated device: its limits, its poison, its counters, and what it refuses."""

import copy
import operator

import ml_dtypes
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core.errors import CancelledError, ResourceExhaustedError
from tfsession.devices.counters import Counters
from tfsession.devices.layout import GpuSlot
from tfsession.devices.nvml import PhysicalGpu
from tfsession.devices.simulated import POISON, SimulatedDevice
from tfsession.devices.simulated_array import SimulatedArray

MIB = 1 << 20


def make(index=0, limit=MIB):
    gpu = PhysicalGpu("Simulated GPU", "ffff:00:00.0", "", limit, limit, None, simulated=True)
    return SimulatedDevice(index, GpuSlot(gpu, index, limit))


@pytest.fixture
def gpu():
    """A device whose stream is the current one, as it is for kernels."""
    device = make()
    with device.activate():
        yield device


def content(array):
    """What a device array holds, without asking the device."""
    return array._host


FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_description(gpu):
    assert gpu.name == "/job:localhost/replica:0/task:0/device:GPU:0"
    assert (gpu.device_type, gpu.index, gpu.memory_limit_bytes) == ("GPU", 0, MIB)
    assert gpu.physical_description.startswith("device: 0, name: Simulated GPU, pci bus id: ffff:")
    assert gpu.incarnation != 0
    assert gpu.incarnation != make().incarnation


# (what to compute with xp, a device array x and an index array i), on both NumPy and the device.
SAME = {
    "operators": lambda xp, x, i: -(x + 1) * 2 - x / 3 // 1 % 2 + 2**x,
    "reversed operators": lambda xp, x, i: (1 - x) + (2 / (x + 1)) + (7 // (x + 1)) + (7 % (x + 1)),
    "NumPy scalar on the left": lambda xp, x, i: np.float32(2) * x,
    "comparisons": lambda xp, x, i: (x < 2) | (x >= 4) & (x != 5) ^ (x == 1),
    "integers": lambda xp, x, i: (~i << 2 >> 1) ^ 3,
    "divmod": lambda xp, x, i: divmod(x, 2),
    "abs": lambda xp, x, i: abs(x - 3),
    "matmul": lambda xp, x, i: x @ x.T,
    "ufunc": lambda xp, x, i: xp.exp(x),
    "ufunc with dtype": lambda xp, x, i: xp.add(x, 1, dtype=np.float64),
    "two outputs": lambda xp, x, i: xp.modf(x),
    "ufunc.reduce": lambda xp, x, i: xp.add.reduce(x, axis=1),
    "ufunc.outer": lambda xp, x, i: xp.multiply.outer(x[0], x[1]),
    "ufunc.accumulate": lambda xp, x, i: xp.add.accumulate(x, axis=1),
    "NumPy's ufunc": lambda xp, x, i: np.add(x, x),
    "sum": lambda xp, x, i: xp.sum(x, axis=0, keepdims=True),
    "full sum": lambda xp, x, i: xp.sum(x),
    "method sum": lambda xp, x, i: x.sum(),
    "methods": lambda xp, x, i: x.astype(np.float64).clip(1, 4).round().cumsum(axis=1).max(axis=0),
    "argmax": lambda xp, x, i: x.argmax(axis=1),
    "transposes": lambda xp, x, i: x.transpose(1, 0).reshape(-1)[::-1].swapaxes(0, 0),
    "T and mT": lambda xp, x, i: x.T.mT.T,
    "scalar index": lambda xp, x, i: x[1, 2],
    "row": lambda xp, x, i: x[1],
    "ellipsis": lambda xp, x, i: x[..., 1, None],
    "list index": lambda xp, x, i: x[:, [0, 2]],
    "array index": lambda xp, x, i: x[:, i],
    "mask": lambda xp, x, i: x[x > 2],
    "take": lambda xp, x, i: xp.take(x, i, axis=1),
    "concatenate": lambda xp, x, i: xp.concatenate([x, x * 2], axis=0),
    "stack": lambda xp, x, i: xp.stack((x, x)),
    "split": lambda xp, x, i: xp.split(x, 3, axis=1),
    "where": lambda xp, x, i: xp.where(x > 2, x, 0),
    "nonzero": lambda xp, x, i: xp.nonzero(x),
    "zeros": lambda xp, x, i: xp.zeros((2, 2), dtype=xp.float32),
    "full, arange, eye": lambda xp, x, i: xp.full((2,), 3.5) + xp.arange(2) @ xp.eye(2),
    "constants": lambda xp, x, i: x * xp.pi + xp.e,
    "newaxis": lambda xp, x, i: x[:, xp.newaxis],
    "infinity": lambda xp, x, i: xp.full((2,), -xp.inf, dtype=xp.float16),
    "linalg": lambda xp, x, i: xp.linalg.inv(x @ x.T + xp.eye(2)),
    "linalg, several": lambda xp, x, i: xp.linalg.svd(x, full_matrices=False),
    "fft": lambda xp, x, i: xp.fft.rfft(x, axis=1),
    "windows": lambda xp, x, i: xp.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "einsum": lambda xp, x, i: xp.einsum("ij,kj->ik", x, x),
    "tensordot": lambda xp, x, i: xp.tensordot(x, x, axes=((0, 1), (0, 1))),
    "broadcast": lambda xp, x, i: xp.broadcast_to(x, (2, 2, 3)),
    "counts": lambda xp, x, i: xp.count_nonzero(x),
    "allclose": lambda xp, x, i: xp.allclose(x, x),
    "complex": lambda xp, x, i: (x + 1j).conj().imag,
    "real of real": lambda xp, x, i: x.real + x.imag,
    "as array": lambda xp, x, i: xp.asarray(x, dtype=xp.float64),
    "shape questions": lambda xp, x, i: (xp.ndim(x), xp.shape(x), xp.result_type(x, i)),
    "empty": lambda xp, x, i: xp.zeros((0, 3)) + x[:0],
    "searchsorted": lambda xp, x, i: xp.searchsorted(x[0], x[1]),
    "sort": lambda xp, x, i: xp.sort(-x, axis=0),
    "iteration": lambda xp, x, i: [row + 1 for row in x],
    "bincount": lambda xp, x, i: xp.bincount(i, minlength=4),
}


def flat(result):
    return list(result) if isinstance(result, tuple | list) else [result]


@pytest.mark.parametrize("compute", SAME.values(), ids=SAME.keys())
def test_computes_what_numpy_computes(gpu, compute):
    indices = np.array([2, 0])
    expected = flat(compute(np, FLOATS, indices))
    found = flat(compute(gpu.xp, gpu.to_device(FLOATS), gpu.to_device(indices)))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, np.ndarray | np.generic):
            assert type(ours) is SimulatedArray  # of rank 0 too: never a scalar
            np.testing.assert_array_equal(content(ours), theirs)
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
        elif isinstance(ours, SimulatedArray):
            assert content(ours) == theirs
        else:
            assert ours == theirs


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.complex64, np.bool_, np.int8])
def test_element_types(gpu, dtype):
    host = np.array([0, 1, 1], dtype=dtype)
    back = gpu.to_host(gpu.to_device(host) + gpu.to_device(host))
    gpu.synchronize()
    np.testing.assert_array_equal(back, host + host)
    assert back.dtype == dtype


@pytest.mark.parametrize(
    "host", [np.array([b"a"], dtype=object), np.array(["a"]), np.array([b"a"]), np.zeros(2, "V4")]
)
def test_what_is_no_number_stays_on_the_host(gpu, host):
    with pytest.raises(TypeError, match="Unsupported type"):
        gpu.to_device(host)
    assert gpu.memory_stats().in_use == 0


def test_attributes(gpu):
    x = gpu.to_device(FLOATS)
    assert (x.shape, x.dtype, x.ndim, x.size) == ((2, 3), np.float32, 2, 6)
    assert (x.nbytes, x.itemsize, x.strides, len(x)) == (24, 4, (12, 4), 2)
    assert x.flags.c_contiguous
    assert not x.T.flags.c_contiguous
    assert x.device is gpu
    assert isinstance(x, gpu.xp.ndarray)


ELSEWHERE = make(1).to_device(FLOATS)
MIXTURES = {
    "function": lambda xp, x, y: xp.add(x, y),
    "operator": lambda xp, x, y: x + y,
    "reversed": lambda xp, x, y: y + x,
    "NumPy's ufunc": lambda xp, x, y: np.add(y, x),
    "comparison": lambda xp, x, y: x == y,
    "in a list": lambda xp, x, y: xp.concatenate([x, y]),
    "keyword": lambda xp, x, y: xp.clip(x, min=y),
    "in place": lambda xp, x, y: operator.iadd(x, y),
    "assignment": lambda xp, x, y: operator.setitem(x, ..., y),
    "method": lambda xp, x, y: x.dot(y),
    "index": lambda xp, x, y: x[y],
    "output": lambda xp, x, y: xp.add(x, x, out=y),
    "alone": lambda xp, x, y: xp.exp(y),
    "ufunc.at": lambda xp, x, y: xp.add.at(x, (0,), y),
}


@pytest.mark.parametrize("compute", MIXTURES.values(), ids=MIXTURES.keys())
@pytest.mark.parametrize(
    "other", [FLOATS, np.array(1.0), ELSEWHERE], ids=["host", "host rank 0", "other device"]
)
def test_mixing_memories_is_refused(gpu, compute, other):
    x = gpu.to_device(FLOATS)
    with pytest.raises((TypeError, IndexError)):
        compute(gpu.xp, x, other)
    np.testing.assert_array_equal(content(x), FLOATS)


@pytest.mark.parametrize("convert", [np.asarray, np.array, memoryview, np.float32, bytes])
def test_no_implicit_conversion(gpu, convert):
    with pytest.raises(TypeError):
        convert(gpu.to_device(np.float32(1)))


def test_the_refusal_names_the_way_out(gpu):
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.concatenate([gpu.to_device(FLOATS)])


def test_scipy_ufuncs_are_not_cupy_s(gpu):
    with pytest.raises(TypeError):
        scipy.special.erf(gpu.to_device(FLOATS))


@pytest.mark.parametrize("name", ["errstate", "spacing", "insert", "random", "ma", "no_such_name"])
def test_names_that_cupy_lacks(gpu, name):
    with pytest.raises(AttributeError, match=name):
        getattr(gpu.xp, name)


# Abstract and host-only types, which no kernel computes with, and what is no function of arrays.
_TYPES = "bytes_ character flexible clongdouble float128 complex256 test get_include show_runtime"
TYPES = frozenset(_TYPES.split())


def test_the_list_of_absent_names_is_cupy_s(gpu):
    cupy = pytest.importorskip("cupy")
    for ours, theirs, module in (
        (gpu.xp, cupy, np),
        (gpu.xp.linalg, cupy.linalg, np.linalg),
        (gpu.xp.fft, cupy.fft, np.fft),
    ):
        functions = {name for name in dir(module) if callable(getattr(module, name))}
        offered = {name for name in functions if name[0] != "_" and hasattr(ours, name)}
        assert offered - set(dir(theirs)) <= TYPES


def test_explicit_reads_are_counted(gpu):
    x = gpu.to_device(np.array(2.5))
    assert (float(x), int(x), bool(x), complex(x)) == (2.5, 2, True, 2.5)
    assert (x.item(), x.tolist()) == (2.5, 2.5)
    assert x.get() == 2.5
    assert gpu.xp.asnumpy(x) == 2.5
    assert gpu.counters().reads == 8
    assert gpu.counters().device_to_host == 0


def test_explicit_uploads_are_counted(gpu):
    x = gpu.xp.asarray(FLOATS)
    y = gpu.xp.array([[1, 2], [3, 4]], dtype=gpu.xp.int64)
    np.testing.assert_array_equal(content(x), FLOATS)
    assert content(x) is not FLOATS
    assert y.dtype == np.int64
    assert gpu.counters().uploads == 2
    assert gpu.counters().host_to_device == 0


def test_set(gpu):
    x = gpu.to_device(FLOATS)
    x.set(FLOATS * 2)
    np.testing.assert_array_equal(content(x), FLOATS * 2)
    with pytest.raises(ValueError, match="cannot set"):
        x.set(FLOATS[0])


def test_in_place(gpu):
    x = gpu.to_device(FLOATS)
    same = x
    x += 1
    x[0] = 7
    x[:, gpu.to_device(np.array([2]))] *= x[:, :1] * 0
    gpu.xp.add.at(x, gpu.to_device(np.array([1, 1])), gpu.xp.float32(1))
    assert x is same
    np.testing.assert_array_equal(content(x), [[7, 7, 0], [6, 7, 2]])
    out = gpu.xp.multiply(x, 2, out=x)
    assert out is x
    with pytest.raises(TypeError):  # no narrowing, as NumPy's own
        gpu.to_device(np.array([1]))[...].__iadd__(1.5)


def test_copies_are_copies(gpu):
    x = gpu.to_device(FLOATS)
    y = copy.deepcopy(x)
    y += 1
    np.testing.assert_array_equal(content(x), FLOATS)
    assert gpu.memory_stats().in_use == 48


def test_the_host_may_change_after_a_copy(gpu):
    host = FLOATS.copy()
    x = gpu.to_device(host)
    host[...] = 0
    np.testing.assert_array_equal(content(x), FLOATS)


# Memory


def test_what_is_dropped_is_given_back(gpu):
    x = gpu.to_device(FLOATS)
    y = x + x
    assert gpu.memory_stats()[:6] == (48, 48, MIB, 48, 2, MIB - 48)
    del x
    assert gpu.memory_stats().in_use == 24
    del y
    assert gpu.memory_stats() == (0, 48, MIB, 0, 2, MIB, ())


VIEWS = {
    "row": lambda xp, x: x[0],
    "transpose": lambda xp, x: x.T,
    "reshape": lambda xp, x: xp.reshape(x, (3, 2)),
    "broadcast": lambda xp, x: xp.broadcast_to(x, (9, 2, 3)),
    "window": lambda xp, x: xp.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "view of a view": lambda xp, x: x[1:].T[::-1],
    "rank 0": lambda xp, x: x[0, 0],
    "no-op": lambda xp, x: xp.asarray(x),
    "split": lambda xp, x: xp.split(x, 3, axis=1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_views_cost_nothing_and_keep_the_memory(gpu, view):
    x = gpu.to_device(FLOATS)
    kept = view(gpu.xp, x)
    assert gpu.memory_stats().in_use == 24
    assert gpu.counters().launches == 0
    del x
    assert gpu.memory_stats().in_use == 24
    del kept
    assert gpu.memory_stats().in_use == 0


def test_a_slice_of_a_temporary_keeps_all_of_it(gpu):
    part = (gpu.to_device(FLOATS) * 2)[0, :1]
    assert part.nbytes == 4
    assert gpu.memory_stats().in_use == 24


@pytest.mark.parametrize(
    ("make_array", "shape", "type_text"),
    [
        (lambda xp: xp.zeros((600, 500), xp.float32), "[600,500]", "float"),
        (lambda xp: xp.zeros(600_000, xp.float16), "[600000]", "half"),
        (lambda xp: xp.ones((1, 200_000)), "[1,200000]", "double"),
        (lambda xp: xp.arange(200_000), "[200000]", "int64"),
        (lambda xp: xp.asarray(np.zeros(2_000_000, np.bool_)), "[2000000]", "bool"),
    ],
)
def test_the_limit_is_hard(gpu, make_array, shape, type_text):
    with pytest.raises(ResourceExhaustedError) as error:
        make_array(gpu.xp)
    first, usage, total = error.value.message.splitlines()
    assert first.startswith(
        f"OOM when allocating tensor with shape{shape} and type {type_text} "
        f"on {gpu.name} by allocator GPU_0_bfc: "
    )
    assert usage == f"Current usage from device: {gpu.name}, allocator: GPU_0_bfc"
    assert total == "  0 bytes in all; the most was 0"
    assert gpu.memory_stats().in_use == 0
    assert content(gpu.to_device(FLOATS) + 1)[0, 0] == 1  # and the device works on


def test_the_limit_is_exact():
    gpu = make(limit=48)
    x = gpu.to_device(FLOATS)
    y = gpu.to_device(FLOATS)
    with pytest.raises(ResourceExhaustedError):
        gpu.to_device(np.int8(1))
    del y
    with gpu.activate():
        assert (x + 1).nbytes == 24


def test_memory_in_cycles_is_collected_before_giving_up():
    gpu = make(limit=24)
    cycle = [gpu.to_device(FLOATS)]
    cycle.append(cycle)
    del cycle
    assert gpu.to_device(FLOATS).nbytes == 24


STEPS = st.tuples(st.sampled_from(["new", "drop", "view"]), st.integers(0, 40))


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_the_books_balance(steps):
    gpu = make(limit=400)
    held = []
    for step, number in steps:
        if step == "drop" and held:
            held.pop(number % len(held))
        elif step == "view" and held:
            held.append(held[number % len(held)][number // 2 :])
        elif step == "new":
            before = gpu.memory_stats().in_use
            if before + 8 * number > 400:
                with pytest.raises(ResourceExhaustedError):
                    gpu.xp.zeros(number)
            else:
                held.append(gpu.xp.zeros(number))
        owners = {id(array._root): array._root.nbytes for array in held}
        stats = gpu.memory_stats()
        assert stats.in_use == sum(owners.values()) <= stats.peak <= 400


# Copies to the host


def test_a_host_copy_is_garbage_until_the_device_was_waited_for(gpu):
    x = gpu.to_device(FLOATS)
    host = gpu.to_host(x)
    assert host.view(np.uint8).tolist() == [[POISON] * 12] * 2
    x += 1  # after the copy was asked for
    gpu.synchronize()
    np.testing.assert_array_equal(host, FLOATS)
    assert host.flags.owndata
    assert host.flags.writeable
    assert host.flags.c_contiguous


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0), (5,)])
def test_host_copies_of_odd_shapes(gpu, shape):
    host = gpu.to_host(gpu.xp.ones(shape))
    assert host.shape == shape
    gpu.synchronize()
    np.testing.assert_array_equal(host, np.ones(shape))


def test_a_view_is_copied_as_it_looks(gpu):
    host = gpu.to_host(gpu.to_device(FLOATS).T[::-1])
    gpu.synchronize()
    np.testing.assert_array_equal(host, FLOATS.T[::-1])


def test_only_its_own_arrays_can_be_copied_from_it(gpu):
    with pytest.raises(TypeError, match="Unsupported type"):
        gpu.to_host(FLOATS)
    with pytest.raises(TypeError, match=r"GPU:1 was given to .*GPU:0"):
        gpu.to_host(ELSEWHERE)
    assert not gpu.owns(ELSEWHERE)
    assert not gpu.owns(FLOATS)
    assert gpu.owns(gpu.to_device(FLOATS))


def test_counters(gpu):
    x = gpu.to_device(FLOATS)
    y = gpu.xp.exp(x)
    y += x
    y.sort()
    gpu.to_host(y[0])
    peer = make(1)
    peer.from_peer(x, gpu)
    gpu.synchronize()
    float(y[0, 0])
    assert gpu.counters() == Counters(
        launches=3,
        host_to_device=1,
        device_to_host=1,
        synchronizations=3,  # to sort waits, as in CuPy
        reads=1,
        host_to_device_bytes=24,
        device_to_host_bytes=16,
    )
    assert peer.counters() == Counters(device_to_device=1, device_to_device_bytes=24)


def test_warnings_are_silent_inside(gpu):
    x = gpu.to_device(np.zeros(2))
    with gpu.activate():
        assert np.isnan(content(x / x)).all()


def test_close_ends_it(gpu):
    x = gpu.to_device(FLOATS)
    host = gpu.to_host(x)
    gpu.close()
    gpu.close()
    np.testing.assert_array_equal(host, FLOATS)
    assert gpu.memory_stats().in_use == 24  # what the program still holds
    for use in USES_AFTER_CLOSE:
        with pytest.raises(CancelledError, match="Session has been closed"):
            use(gpu, x)
    assert x.get().tolist() == FLOATS.tolist()  # its owner may still look at it
    del x
    assert gpu.memory_stats().in_use == 0


USES_AFTER_CLOSE = [
    lambda gpu, x: gpu.to_device(FLOATS),
    lambda gpu, x: gpu.to_host(x),
    lambda gpu, x: gpu.activate().__enter__(),
    lambda gpu, x: gpu.xp.zeros(3),
    lambda gpu, x: x + x,
    lambda gpu, x: make(1).from_peer(x, gpu),
    lambda gpu, x: gpu.from_peer(ELSEWHERE, ELSEWHERE.device),
]
