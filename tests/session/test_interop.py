"""Arrays of other libraries at the run boundary: fed without a copy, fetched where they are."""

import ctypes
import re
import threading
from importlib import resources

import ml_dtypes
import numpy as np
import pytest

import tfsession as tf
from tfsession.devices import interchange

X = np.arange(6, dtype=np.float32).reshape(2, 3)


class Exporter:
    """An array that speaks nothing but DLPack, as its version 1 has it."""

    def __init__(self, array):
        self.array = array
        self.asked = []

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        self.asked.append(max_version)
        return self.array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)


class EarlyExporter(Exporter):
    """The same, from the time before versions."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


class Elsewhere(Exporter):
    """An array that says it lies on some device."""

    def __init__(self, *device):
        self.device = device

    def __dlpack_device__(self):
        return self.device


class OfOtherType(Exporter):
    """Elements that NumPy does not have: integers under another code of DLPack."""

    code = 4

    def __dlpack__(self, **asked):
        capsule = self.array.__dlpack__(**asked)
        name = interchange._name_of(capsule)
        start = interchange._pointer_of(capsule, name) + interchange._OFFSETS[name]
        interchange._Tensor.from_address(start).code = self.code
        return capsule


class OfNumPyToo(OfOtherType):
    """As torch's tensors of bfloat16: `__array__` is there, and refuses."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


@pytest.fixture
def echo(fresh_graph):
    """A session, a fed tensor of any shape, and what it comes to times two."""
    x = tf.placeholder(tf.float32, name="x")
    return tf.Session(), x, tf.multiply(x, 2.0)


def feeders(session, x):
    """The ways in which a value comes to be fed; each gives what the tensor is then."""
    call = session.make_callable(x, [x])
    return [lambda value: session.run(x, {x: value}), call, call]


@pytest.mark.parametrize("kind", [Exporter, EarlyExporter])
@pytest.mark.parametrize("array", [X, X.T, X[:, ::2], X[::-1], X[:0], np.float32([5])[0, ...]])
def test_dlpack_feeds_share_their_memory(echo, kind, array):
    session, x, y = echo
    for feed in feeders(session, x):
        fed = feed(kind(array))
        assert type(fed) is np.ndarray
        np.testing.assert_array_equal(fed, array)
        assert np.shares_memory(fed, array) or not array.size
    np.testing.assert_array_equal(session.run(y, {x: kind(array)}), array * 2)


def test_dlpack_is_asked_for_its_version(echo):
    session, x, y = echo
    source = Exporter(X)
    session.run(y, {x: source})
    assert source.asked == [(1, 0)]


def test_read_only_memory_is_fed_and_stays(echo):
    session, x, y = echo
    array = X.copy()
    array.flags.writeable = False
    fed = session.run(x, {x: Exporter(array)})
    assert np.shares_memory(fed, array)
    assert not fed.flags.writeable
    np.testing.assert_array_equal(session.run(y, {x: Exporter(array)}), X * 2)
    with pytest.raises(TypeError, match=r"EarlyExporter cannot be read through DLPack.*readonly"):
        session.run(y, {x: EarlyExporter(array)})
    np.testing.assert_array_equal(session.run(y, {x: X}), X * 2)


def test_values_are_converted_and_checked_as_ever(fresh_graph):
    x = tf.placeholder(tf.int32, [2, 3])
    y, session = x + 1, tf.Session()
    np.testing.assert_array_equal(session.run(y, {x: Exporter(X + 0.75)}), X + 1)
    with pytest.raises(ValueError, match=r"Cannot feed value of shape \(3, 2\)"):
        session.run(y, {x: Exporter(X.T)})
    assert session.run(y, {x: Exporter(np.ones((2, 3), bool))}).tolist() == [[2] * 3] * 2


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(4, ml_dtypes.bfloat16), (10, ml_dtypes.float8_e4m3fn), (12, ml_dtypes.float8_e5m2)],
)
@pytest.mark.parametrize("kind", [OfOtherType, OfNumPyToo])
def test_dtypes_that_numpy_lacks(fresh_graph, kind, code, dtype):
    array = np.array([1, 2, 3], dtype)
    source = kind(array.view(f"u{array.itemsize}"))
    source.code = code
    x = tf.placeholder(tf.as_dtype(dtype), name="x")
    fed = tf.Session().run(x, {x: source})
    assert fed.dtype == dtype
    assert fed.tolist() == [1, 2, 3]
    assert np.shares_memory(fed.view("u1"), source.array.view("u1"))


def test_bfloat16_arrays_of_numpy_are_fed_as_they_are(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.bfloat16, [3])
        y = x + x
    array = np.array([1, 2, 3], ml_dtypes.bfloat16)
    session = tf.Session()
    assert session.run(x, {x: array}) is array
    assert session.run(y, {x: array}).tolist() == [2, 4, 6]
    # DLPack has no way to export it from NumPy: not even to us.
    with pytest.raises(TypeError, match="cannot be read through DLPack"):
        session.run(y, {x: Exporter(array)})


def test_exported_memory_is_given_back(echo):
    session, x, y = echo
    freed = []

    class Memory(np.ndarray):
        def __del__(self):
            freed.append(None)

    for number in range(3):
        array = np.ones(4, np.float32).view(Memory)
        session.run(y, {x: Exporter(array)})
        del array
        assert len(freed) >= number + 1


def test_dlpack_without_a_tensor(echo):
    session, x, y = echo
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    source = Exporter(X)
    source.__class__ = type(
        "Stale", (Exporter,), {"__dlpack__": lambda self, **_: new(1, b"used_dltensor", None)}
    )
    with pytest.raises(TypeError, match=r"Stale cannot be read through DLPack.*used_dltensor"):
        session.run(y, {x: source})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Elsewhere(2, 7), "CUDA device 7"),
        (Elsewhere(10, 0), "ROCm device 0"),
        (Elsewhere(99, 1), "device 1 of DLPack's type 99"),
    ],
)
def test_a_device_that_the_session_does_not_have(fresh_graph, value, place):
    x = tf.placeholder(tf.float32)
    y, session = x + 1.0, tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))
    call = session.make_callable(y, [x])
    for run in (lambda: session.run(y, {x: value}), lambda: call(value)):
        with pytest.raises(TypeError, match=f"The fed Elsewhere lies on {place}, which is none of"):
            run()
        assert session.run(y, {x: 1}) == call(1) == 2


def test_an_array_of_cudas_interface_alone(fresh_graph):
    class Array:
        __cuda_array_interface__ = {  # noqa: RUF012
            "shape": (1,),
            "typestr": "<f4",
            "data": (1 << 40, False),
            "version": 3,
        }

    x = tf.placeholder(tf.float32)
    session = tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))
    with pytest.raises(TypeError, match="The fed Array lies on a CUDA device"):
        session.run(x + 1.0, {x: Array()})


def test_torch_tensors(echo):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    session, x, y = echo
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert np.shares_memory(session.run(x, {x: tensor}), tensor.numpy())
    np.testing.assert_array_equal(session.run(y, {x: tensor.T}), X.T * 2)
    b = tf.placeholder(tf.bfloat16)
    assert session.run(b + b, {b: tensor.to(torch.bfloat16)}).tolist() == (X * 2).tolist()


# --- arrays of a session's own devices -------------------------------------------------------


def to_host(array):
    return array.get() if hasattr(array, "get") else array


def test_device_fetches_are_fed_back(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [2, 3])
        y = x * 2.0 + 1.0
    session = tf.Session()
    step = session.make_callable(y, [x], device_fetches=True)
    value, wanted = X, X
    for _ in range(4):
        value, wanted = step(value), wanted * 2 + 1
        assert isinstance(value, np.ndarray) is (device == "/cpu:0")
        assert (value.shape, value.dtype) == ((2, 3), np.float32)
    np.testing.assert_array_equal(to_host(value), wanted)
    np.testing.assert_array_equal(session.run(y, {x: value}), wanted * 2 + 1)
    assert session.run(x, {x: value}) is value
    with pytest.raises(ValueError, match=r"Cannot feed value of shape \(2,\)"):
        session.run(y, {x: value[:, 0]})


def test_host_and_device_feeds_take_turns(fresh_graph, device):
    with tf.device(device):
        x, z = tf.placeholder(tf.float32, [2, 3]), tf.placeholder(tf.float64)
        y = x + tf.cast(z, tf.float32)
    session = tf.Session()
    on_device = session.make_callable(y, [x, z], device_fetches=True)
    on_host = session.make_callable(y, [x, z])
    array = on_device(X, 0)
    for values in ((X, 1), (array, 1), (X, array), (array, array), (X, 1.5), (array, X)):
        wanted = to_host(values[0]) + to_host(values[1])
        np.testing.assert_array_equal(on_host(*values), wanted)
        np.testing.assert_array_equal(to_host(on_device(*values)), wanted)
        feeds = dict(zip((x, z), values, strict=True))
        np.testing.assert_array_equal(session.run(y, feeds), wanted)
        np.testing.assert_array_equal(session.run({"y": [y]}, feeds)["y"][0], wanted)


def test_fed_device_arrays_are_cast_on_the_device(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [3])
        tensors = [tf.placeholder(t, [3]) for t in (tf.float64, tf.int64, tf.bool, tf.int32)]
        results = [tf.cast(t, tf.float64) for t in tensors]
    session = tf.Session()
    array = session.make_callable(x * 1.0, [x], device_fetches=True)(np.float32([0, 1.75, -2.5]))
    wanted = [[0, 1.75, -2.5], [0, 1, -2], [0, 1, 1], [0, 1, -2]]
    for tensor, result, values in zip(tensors, results, wanted, strict=True):
        assert session.run(result, {tensor: array}).tolist() == values
    text = tf.placeholder(tf.string)
    if device != "/cpu:0":
        with pytest.raises(TypeError, match="texts cannot be fed with an array of a device"):
            session.run(tf.identity(text), {text: array})


def test_what_stays_on_the_host_is_fetched_there(fresh_graph, device):
    text = tf.placeholder(tf.string)
    with tf.device(device):
        n = tf.placeholder(tf.int32, [2])
        fetches = [n + 1, tf.shape(n), tf.no_op(), tf.constant(2.0)]
    fetches += [tf.identity(text), text]
    call = tf.Session().make_callable(fetches, [n, text], device_fetches=True)
    total, shape, nothing, two, copied, fed = call([1, 2], "a")
    assert type(total) is np.ndarray
    assert total.tolist() == [2, 3]
    assert shape.tolist() == [2]
    assert nothing is None
    assert float(two) == 2.0
    assert copied == b"a"
    assert fed == np.array("a", object)


def test_fetched_device_arrays_are_the_programs_own(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [2])
        v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
        r = tf.get_variable("r", [2], initializer=tf.zeros_initializer(), use_resource=True)
        k = tf.constant([1.0, 2.0])
        doubled = x * 2.0
        stored = tf.assign(v, doubled)
        updates = [tf.assign_add(v, [1.0, 1.0]), tf.assign_add(r, [1.0, 1.0])]
        parts = [tf.identity(x), tf.reshape(x, [2, 1]), x[:1], tf.transpose(tf.reshape(x, [1, 2]))]
        parts += tf.split(doubled, 2)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    fetches = [v, r, k, tf.identity(k), stored, doubled, *parts]
    call = session.make_callable(fetches, [x], device_fetches=True)
    fed = session.make_callable(doubled, [x], device_fetches=True)(np.float32([3, 4]))
    arrays = call(fed)
    held = [np.array(to_host(array)) for array in arrays]
    session.run(updates)
    for array, before in zip(arrays, held, strict=True):
        np.testing.assert_array_equal(to_host(array), before)
        assert array.flags.c_contiguous
    # What the program writes into its arrays shows nowhere else: each is its own memory.
    for position, array in enumerate(arrays):
        array[...] = -position - 1
    for position, array in enumerate(arrays):
        assert (to_host(array) == -position - 1).all()
    assert to_host(fed).tolist() == [6, 8]
    again = call(fed)
    assert [to_host(a).tolist() for a in again[2:4]] == [[1, 2]] * 2
    assert session.run(r).tolist() == [1, 1]


def test_composites_are_fed_and_fetched_on_the_device(fresh_graph, device):
    with tf.device(device):
        values, indices = tf.placeholder(tf.float32, [2, 3]), tf.placeholder(tf.int64, [2])
        slices = tf.IndexedSlices(values * 2.0, indices + 1)
    session = tf.Session()
    call = session.make_callable({"s": slices}, [values, indices], device_fetches=True)
    got = call(X, [4, 2])["s"]
    assert type(got).__name__ == "IndexedSlicesValue"
    np.testing.assert_array_equal(to_host(got.values), X * 2)
    assert to_host(got.indices).tolist() == [5, 3]
    back = session.run(slices, {tf.IndexedSlices(values, indices): (got.values, got.indices)})
    np.testing.assert_array_equal(back.values, X * 4)
    assert back.indices.tolist() == [6, 4]


def test_errors_leave_device_feeds_usable(fresh_graph, device):
    with tf.device(device):
        x, i = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.int64, [])
        y = x * 2.0
        bad = tf.gather(y, i)
    session = tf.Session()
    call = session.make_callable(y, [x], device_fetches=True)
    picks = session.make_callable(bad, [x, i], device_fetches=True)
    array = call(np.float32([1, 2]))
    if device == "/cpu:0":  # a GPU gives zeros there
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not in"):
            picks(array, 7)
    with pytest.raises(TypeError):
        picks(array, object())
    assert float(to_host(picks(array, 1))) == 8
    assert to_host(call(array)).tolist() == [4, 8]
    session.close()
    with pytest.raises((RuntimeError, tf.errors.CancelledError)):
        call(array)


def test_device_fetches_under_options(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [2])
        y = x * 2.0
    session, metadata = tf.Session(), tf.RunMetadata()
    traced = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE, output_partition_graphs=True)
    call = session.make_callable(y, [x], device_fetches=True)
    array = call(np.float32([1, 2]))
    again = call(array, options=traced, run_metadata=metadata)
    assert type(again) is type(array)
    assert to_host(again).tolist() == [4, 8]
    assert metadata.step_stats.dev_stats
    assert metadata.partition_graphs
    metadata = tf.RunMetadata()
    constant = session.make_callable(y.op.inputs[1], accept_options=True, device_fetches=True)
    assert float(to_host(constant(traced, metadata))) == 2
    assert type(constant()) is type(array) or device == "/cpu:0"
    assert metadata.step_stats.dev_stats


def test_threads_keep_their_arrays(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [64])
        y = x + 1.0
    call = tf.Session().make_callable(y, [x], device_fetches=True)
    wrong = []

    def work(number):
        array = np.full(64, number, np.float32)
        for _ in range(100):
            array = call(array)
        if not (to_host(array) == number + 100).all():
            wrong.append(number)

    threads = [threading.Thread(target=work, args=[1000 * n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- what it costs: simulated devices count it -----------------------------------------------


@pytest.fixture
def two_gpus(simulated_session):
    """A session with two simulated GPUs, and `x` times two on each."""
    x = tf.placeholder(tf.float32, [2, 3])
    results = []
    for number in range(2):
        with tf.device(f"/gpu:{number}"):
            results.append(x * 2.0)
    session = simulated_session(gpus=2)
    session.run(results, {x: X})
    return session, x, results


def moves(session, run):
    """The host-to-device, device-to-host and peer copies of a call, and what it gives."""
    with session.counting() as counted:
        result = run()
    total = counted.total
    assert (total.uploads, total.reads) == (0, 0)
    return (total.host_to_device, total.device_to_host, total.device_to_device), result


def test_no_transfer_where_the_device_is_the_same(two_gpus):
    session, x, (here, there) = two_gpus
    keeps = session.make_callable(here, [x], device_fetches=True)
    moved, array = moves(session, lambda: keeps(X))
    assert moved == (1, 0, 0)
    moved, again = moves(session, lambda: keeps(array))
    assert moved == (0, 0, 0)
    moved, result = moves(session, lambda: session.run(here, {x: again}))
    assert moved == (0, 1, 0)
    np.testing.assert_array_equal(result, X * 8)
    # On the other GPU: one copy between the two, and no detour by the host.
    moves_there = session.make_callable(there, [x], device_fetches=True)
    moved, other = moves(session, lambda: moves_there(array))
    assert moved == (0, 0, 1)
    assert other.device is not array.device
    moved, _ = moves(session, lambda: session.run([here.op, there.op], {x: other}))
    assert moved == (0, 0, 1)
    moved, _ = moves(session, lambda: session.run([here, there], {x: X}))
    assert moved == (2, 2, 0)


def test_casts_of_fed_device_arrays_do_not_leave_the_device(two_gpus):
    session, x, (here, _) = two_gpus
    with tf.device("/gpu:0"):
        doubles = tf.cast(x, tf.float64)
    array = session.make_callable(doubles, [x], device_fetches=True)(X)
    moved, result = moves(
        session, lambda: session.make_callable(here, [x], device_fetches=True)(array)
    )
    assert moved == (0, 0, 0)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result.get(), X * 2)


def test_a_fed_and_fetched_device_array_is_not_touched(two_gpus):
    session, x, (here, _) = two_gpus
    array = session.make_callable(here, [x], device_fetches=True)(X)
    moved, (fed, result) = moves(session, lambda: session.run([x, here], {x: array}))
    assert fed is array
    assert moved == (0, 1, 0)
    np.testing.assert_array_equal(result, X * 4)


def test_memory_returns_with_the_arrays(two_gpus):
    session, x, (here, _) = two_gpus
    device = session._engine.devices.devices[1]
    keeps = session.make_callable(here, [x], device_fetches=True)
    before = device.memory_stats().in_use
    array = keeps(X)
    assert device.memory_stats().in_use == before + X.nbytes
    for _ in range(5):
        array = keeps(array)
    assert device.memory_stats().in_use == before + X.nbytes
    del array
    assert device.memory_stats().in_use == before


def test_an_array_of_another_session(two_gpus):
    session, x, (here, _) = two_gpus
    array = session.make_callable(here, [x], device_fetches=True)(X)
    with tf.Session() as other:
        for _ in range(2):
            with pytest.raises(TypeError, match=r"The fed SimulatedArray lies on .* none of this"):
                other.run(here, {x: array})
            np.testing.assert_array_equal(other.run(here, {x: X}), X * 2)


# --- what the documentation shows ------------------------------------------------------------


@pytest.mark.parametrize("simulated", ["0", "1:256MiB"])
def test_the_examples_of_the_documentation(fresh_graph, monkeypatch, simulated):
    monkeypatch.setenv("TFSESSION_SIMULATED_GPUS", simulated)
    text = resources.files(tf).joinpath("docs/interop.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    for example in examples:
        exec(compile(example, "interop.md", "exec"), names)
    assert len(examples) == 2
    assert isinstance(names["value"], np.ndarray) is (simulated == "0")
