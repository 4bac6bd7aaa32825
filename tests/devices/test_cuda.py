"""CUDA devices over a fake CuPy that writes down what it is asked (see conftest.py)."""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.errors import CancelledError, InternalError, ResourceExhaustedError
from tfsession.devices.cpu import CpuDevice
from tfsession.devices.cuda import CudaDevice
from tfsession.devices.layout import GpuSlot
from tfsession.devices.nvml import PhysicalGpu
from tfsession.devices.simulated import SimulatedDevice
from tfsession.devices.transfer import copy, start_copy, wait_for
from tfsession.runtime.plan import finish_fresh

MIB = 1 << 20
GIB = 1 << 30


def make(index=0, bus_id="0000:17:00.0", limit=GIB, total=80 * GIB, unified=False):
    gpu = PhysicalGpu("NVIDIA H200", bus_id, "GPU-0", total, total, (9, 0))
    return CudaDevice(index, GpuSlot(gpu, index, limit, unified))


FLOATS = np.arange(6, dtype=np.float32)


def test_nothing_is_loaded_until_it_is_used(cupy):
    gpu = make()
    assert gpu.physical_description == (
        "device: 0, name: NVIDIA H200, pci bus id: 0000:17:00.0, compute capability: 9.0"
    )
    assert gpu.memory_limit_bytes == GIB
    assert not gpu.owns(FLOATS)
    assert gpu.memory_stats() == (0, 0, GIB, 0, 0, GIB, ())
    gpu.synchronize()
    gpu.close()
    assert cupy.imports == 0


def test_the_first_use_loads_it_once(cupy):
    gpu = make()
    assert gpu.xp.cuda is cupy.cuda
    assert gpu.xp.cuda is cupy.cuda
    with gpu.activate():
        pass
    assert cupy.imports == 1


def test_the_card_is_found_by_its_bus(cupy):
    with make().activate():
        assert cupy.here.card == 1
    with make(bus_id="0000:18:00.0").activate():
        assert cupy.here.card == 0
    assert cupy.here.card == 7


def test_a_card_that_cuda_does_not_have(cupy):
    with pytest.raises(InternalError, match=r"failed initializing device: 0.*InvalidDevice"):
        make(bus_id="0000:99:00.0").xp  # noqa: B018


def test_work_runs_on_its_own_stream_and_pool(cupy):
    gpu, other = make(), make(1)
    with gpu.activate():
        stream, allocator = cupy.here.streams[-1], cupy.here.allocator
        with other.activate():
            assert cupy.here.streams[-1] is not stream
            assert cupy.here.allocator != allocator
        assert cupy.here.streams[-1] is stream
    assert cupy.here.streams == cupy.here.allocators == []


def test_what_fails_inside_leaves_nothing_behind(cupy):
    with pytest.raises(ValueError, match="kernel"), make().activate():
        raise ValueError("kernel")
    assert (cupy.here.streams, cupy.here.allocators, cupy.here.card) == ([], [], 7)


def test_the_limit_holds_for_each_part_of_a_card(cupy):
    small, large = make(limit=24), make(1, limit=48)
    a = small.to_device(FLOATS)
    with pytest.raises(ResourceExhaustedError) as error:
        small.to_device(FLOATS[:1])
    assert error.value.message.startswith(
        f"OOM when allocating tensor with shape[4] and type uint8 on {small.name} "
        "by allocator GPU_0_bfc"
    )
    kept = [large.to_device(FLOATS), large.to_device(FLOATS)]
    assert small.memory_stats()[:6] == (24, 24, 24, 24, 1, 0)
    assert large.memory_stats()[:6] == (48, 48, 48, 48, 2, 0)
    assert small.owns(a)
    assert large.owns(kept[0])


def test_what_the_pool_keeps_makes_room(cupy):
    gpu = make(limit=48)
    pieces = [gpu.to_device(FLOATS[:3]) for _ in range(4)]
    del pieces
    assert gpu.memory_stats()[:6] == (0, 48, 48, 48, 4, 0)  # reserved, in pieces that do not fit
    whole = gpu.to_device(np.zeros(12, np.float32))
    assert gpu.memory_stats()[:6] == (48, 48, 48, 48, 5, 0)
    assert gpu._pool.freed == 1
    with pytest.raises(ResourceExhaustedError, match="4 bytes are more than the 0 that are left"):
        gpu.to_device(FLOATS[:1])
    del whole
    gpu.close()
    assert gpu.memory_stats()[:6] == (0, 48, 48, 0, 5, 48)


@pytest.mark.parametrize(
    ("limit", "unified", "allocator", "set_to"),
    [(GIB, False, None, GIB), (3 * GIB, True, "managed", 3 * GIB), (0, False, None, 1)],
)
def test_pools(cupy, limit, unified, allocator, set_to):
    gpu = make(limit=limit, total=2 * GIB, unified=unified)
    assert gpu.xp.cuda is cupy.cuda
    assert gpu._pool.allocator == allocator
    assert gpu._pool.limits == {1: set_to}  # 0 would be no limit at all


def test_there_and_back(cupy):
    gpu = make()
    for host in (FLOATS, np.float32(3), FLOATS.reshape(2, 3).T, np.zeros((0, 2))):
        array = gpu.to_device(host)
        assert gpu.owns(array)
        back = gpu.to_host(array)
        gpu.synchronize()
        np.testing.assert_array_equal(back, host)
    assert gpu._stream.log[-1] == "synchronize"


def test_what_is_small_comes_through_pinned_memory(cupy):
    """A copy to any other memory makes the host wait before it may go on."""
    gpu = make(total=GIB)
    small, large = np.arange(5, dtype=np.int16), np.zeros((1 << 20) + 1, np.int8)
    for host, count in ((small, 1), (large, 1), (small, 2)):
        back = gpu.to_host(gpu.to_device(host))
        assert len(cupy.pinned) == count
        np.testing.assert_array_equal(back, host)
    # The program's own array is not of that memory, which is needed for what comes next.
    assert finish_fresh(back).base is None
    gpu.close()


ELSEWHERE = pytest.mark.parametrize(
    ("bus_id", "enabled"),
    [("0000:18:00.0", [(0, 1), (1, 0)]), ("0000:17:00.0", [])],
    ids=["another card", "the same card"],
)


@ELSEWHERE
def test_between_devices_streams_wait_for_each_other_and_the_host_for_none(cupy, bus_id, enabled):
    first, second = make(), make(1, bus_id=bus_id)
    array = first.to_device(FLOATS)
    copied = copy(array, first, second)
    one, two = first._stream, second._stream
    there = [(one, "record"), (two, ("wait", one)), (two, ("copy", 24)), (two, "record")]
    assert cupy.calls == [*there, (one, ("wait", two))]
    np.testing.assert_array_equal(copied.host, FLOATS)
    assert copied is not array
    assert [device.memory_stats().in_use for device in (first, second)] == [24, 24]
    # Again, back, and what is no whole array: made contiguous first, in the order of its source.
    done, back = [*there, (one, ("wait", two))], [(two, "record"), (one, ("wait", two))]
    del cupy.calls[:]
    copy(array, first, second)
    copy(copied, second, first)
    assert cupy.calls[:5] == done
    assert cupy.calls[5:] == [*back, (one, ("copy", 24)), (one, "record"), (two, ("wait", one))]
    del cupy.calls[:]
    part = copy(array.part(), first, second)
    np.testing.assert_array_equal(part.host, FLOATS[::2])
    assert cupy.calls[0] == (one, "made contiguous")
    assert cupy.calls[1:] == [*there[:2], (two, ("copy", 12)), there[3], (one, ("wait", two))]
    # What has no elements is in order, too, and copies nothing.
    del cupy.calls[:]
    copy(first.to_device(FLOATS[:0]), first, second)
    assert cupy.calls == [there[0], there[1], there[3], (one, ("wait", two))]
    # Peer access was asked for once each way.
    assert cupy.enabled == enabled
    assert first.owns(copied) is second.owns(array) is (not enabled)


@ELSEWHERE
def test_no_room_for_a_copy_leaves_both_streams_in_order(cupy, bus_id, enabled):
    first, second = make(), make(1, bus_id=bus_id, limit=20)
    array = first.to_device(FLOATS)
    with pytest.raises(ResourceExhaustedError, match="GPU:1"):
        copy(array, first, second)
    assert (cupy.here.streams, cupy.here.allocators, cupy.here.cards) == ([], [], [7])
    assert not any(what[0] == "copy" for _, what in cupy.calls)
    back = start_copy(array, first, None)
    wait_for([first])
    np.testing.assert_array_equal(back, FLOATS)


def test_only_devices_of_a_kind_are_peers(cupy):
    other = SimulatedDevice(
        1, GpuSlot(PhysicalGpu("s", "ffff:00:00.0", "", MIB, MIB, None), 0, MIB)
    )
    gpu = make()
    for array, source, destination in (
        (gpu.to_device(FLOATS), gpu, other),
        (other.to_device(FLOATS), other, gpu),
    ):
        with pytest.raises(TypeError, match=f"{source.name} is not a peer of {destination.name}"):
            copy(array, source, destination)


def test_one_wait_for_many(cupy):
    gpu, host = make(), CpuDevice(0)
    arrays = [gpu.to_device(FLOATS), gpu.to_device(FLOATS + 1)]
    back = [start_copy(array, gpu, host) for array in arrays]
    wait_for([gpu, gpu])
    np.testing.assert_array_equal(back, [FLOATS, FLOATS + 1])
    assert gpu._stream.log.count("synchronize") == 1


class Foreign:
    """Another library's array."""

    def __init__(self, *device):
        self.device = device

    def __dlpack_device__(self):
        return self.device

    __dlpack__ = None


class OnlyPointer:
    def __init__(self, card):
        self.__cuda_array_interface__ = {"data": (card << 32, False)}


def test_arrays_of_the_same_card_are_adopted_after_the_programs_work(cupy):
    gpu = make()
    array = gpu.to_device(FLOATS)
    del gpu._stream.log[:]
    with cupy.cuda.Device(1):
        own = cupy.cuda.get_current_stream()
    assert gpu.adopt(array) is array
    assert gpu._stream.log == [("wait", own)]
    with cupy.cuda.Device(1):
        foreign = cupy.foreign(FLOATS)
    assert gpu.adopt(foreign) is foreign
    # In the device's own context there is nothing to wait for.
    del gpu._stream.log[:]
    with gpu.activate():
        gpu.adopt(array)
    assert gpu._stream.log == []


def test_arrays_of_other_libraries_are_adopted_on_its_own_stream(cupy):
    gpu = make()
    for value, how in (
        (Foreign(2, 1), "dlpack"),
        (Foreign(13, 1), "dlpack"),
        (OnlyPointer(1), "interface"),
    ):
        assert gpu.adopt(value).host is value
        assert cupy.taken == (how, 1, gpu._stream)
    assert cupy.here.streams == []


def test_what_lies_elsewhere_is_not_adopted_and_starts_nothing(cupy):
    gpu, other = make(), make(1, bus_id="0000:18:00.0")
    with cupy.cuda.Device(0):
        array = cupy.foreign(FLOATS)
    for value in (array, Foreign(2, 0), Foreign(1, 1), Foreign(10, 1), Foreign(12, 1)):
        assert gpu.adopt(value) is None
    assert gpu.adopt(OnlyPointer(7)) is None
    assert gpu._stream is None
    assert other.adopt(array) is array
    assert other.adopt(OnlyPointer(0)).host is not None  # no elements: anywhere will do


def test_what_is_handed_out_is_in_order_with_the_programs_stream(cupy):
    gpu = make()
    gpu.hand_out()  # unused so far: nothing to wait for
    array = gpu.to_device(FLOATS)
    with cupy.cuda.Device(1):
        own = cupy.cuda.get_current_stream()
    assert gpu._stream.log == []
    gpu.hand_out()
    assert own.log == [("wait", gpu._stream)]
    assert gpu._stream.log == ["record"]
    # From now on the program may drop arrays that its stream still reads: work here waits for it.
    for _ in range(2):
        del gpu._stream.log[:]
        with gpu.activate(), gpu.activate():
            pass
        assert gpu._stream.log == [("wait", own)]
    # Each thread has a current stream of its own.
    thread = threading.Thread(target=gpu.hand_out)
    thread.start()
    thread.join()
    assert len(own.log) == 1
    assert gpu.owns(array)


def test_close(cupy):
    gpu = make()
    gpu.to_device(FLOATS)
    gpu.close()
    gpu.close()
    assert gpu._pool.freed == 1
    assert gpu._stream.log == ["synchronize"]
    with pytest.raises(CancelledError), gpu.activate():
        pass
    unused = make()
    unused.close()
    with pytest.raises(CancelledError):
        unused.xp  # noqa: B018


class LongStream:
    """A stream in a loop, which ends when a number says so, or after some looks."""

    def __init__(self, stop, looks, interrupted=False):
        self.stop, self.looks, self.interrupted, self.seen = stop, looks, interrupted, []

    @property
    def done(self):
        self.looks -= 1
        if self.interrupted and self.looks < 1:
            raise KeyboardInterrupt
        return self.looks < 0

    def synchronize(self):
        self.seen.append(int(self.stop[()]))


@pytest.mark.parametrize("interrupted", [False, True])
def test_who_waits_for_a_loop_can_be_interrupted(cupy, interrupted):
    gpu = make()
    gpu.to_device(FLOATS)
    gpu._stop = np.zeros((), np.int32)
    gpu._stream = stream = LongStream(gpu._stop, 3, interrupted)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            gpu.synchronize()
    else:
        gpu.synchronize()
    assert stream.seen == [int(interrupted)]
    assert gpu._stop == 0
    stream.interrupted = False
    gpu.close()
    assert stream.seen[1:] == [1]


def test_what_is_asked_of_cupy_is_there():
    cupy = pytest.importorskip("cupy")
    for path in (
        *("cuda.Device", "cuda.MemoryPool.set_limit", "cuda.MemoryPool.malloc", "empty", "array"),
        *("cuda.MemoryPool.total_bytes", "cuda.memory.UnownedMemory"),
        *("cuda.memory.MemoryPointer", "cuda.memory.BaseMemory.size"),
        *("cuda.MemoryPool.free_all_blocks", "cuda.malloc_managed", "cuda.using_allocator"),
        *("cuda.Stream.record", "cuda.Stream.wait_event", "cuda.Stream.synchronize"),
        *("cuda.Stream.done", "cuda.Stream.begin_capture", "cuda.Stream.end_capture"),
        *("cuda.runtime.CUDARuntimeError", "cuda.memory.OutOfMemoryError", "ndarray.get"),
        *("cuda.runtime.deviceGetByPCIBusId", "cuda.runtime.deviceCanAccessPeer"),
        *("cuda.runtime.deviceEnablePeerAccess", "cuda.MemoryPointer.device_id"),
        *("cuda.MemoryPointer.copy_from_device_async", "cuda.get_current_stream", "from_dlpack"),
        *("cuda.runtime.pointerGetAttributes", "cuda.runtime.PointerAttributes.device", "asarray"),
        *(
            "cuda.alloc_pinned_memory",
            "cuda.runtime.getDevice",
            "ndarray.base",
            "ndarray.flags",
            "ndarray.data",
        ),
        *("ndarray.__dlpack__", "ndarray.__dlpack_device__", "ndarray.copy", "ndarray.astype"),
    ):
        found = cupy
        for name in path.split("."):
            found = getattr(found, name)
    assert isinstance(cupy.cuda.MemoryPool(None), cupy.cuda.MemoryPool)
    assert "blocking=True" in cupy.ndarray.get.__doc__
    assert "non_blocking=False" in cupy.cuda.Stream.__init__.__doc__
    assert "max_version=None" in cupy.ndarray.__dlpack__.__doc__
    # Streams are the same when CUDA's are, whatever object stands for them.
    assert cupy.cuda.Stream(null=True) == cupy.cuda.Stream.null
    assert cupy.cuda.Stream(ptds=True) != cupy.cuda.Stream.null


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_arrays_change_hands_on_a_real_gpu(fresh_graph, monkeypatch, library):
    """Without a copy, in order with the streams of the program, whatever its current one is."""
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
    cupy = pytest.importorskip("cupy")
    other = pytest.importorskip(library)
    size = 1 << 24  # long enough for a missing wait to show
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [size])
        y = x * 2.0 + 1.0
        v = tf.get_variable("v", [size], initializer=tf.zeros_initializer())
        kept = tf.assign_add(v, x)
    session = tf.Session()
    session.run(v.initializer)
    step = session.make_callable(y, [x], device_fetches=True)
    add = session.make_callable(kept.op, [x])

    def pointer(array):
        return array.data.ptr if hasattr(array.data, "ptr") else array.data_ptr()

    def program():
        for number in range(20):
            if library == "torch":
                mine = other.full((size,), float(number), device="cuda")
            else:
                mine = cupy.full(size, number, cupy.float32)
            assert session.run(x, {x: mine}).data.ptr == pointer(mine)
            first = step(mine)
            mine += 1.0  # after the step has read it
            second = step(mine)
            add(mine)
            mine *= 0.0
            taken = other.from_dlpack(first) if library == "torch" else first
            assert pointer(taken) == first.data.ptr
            assert float(taken[-1]) == float(taken[0]) == 2 * number + 1
            taken += 0.5
            del first, taken  # the pool has the memory again while the stream may still read it
            third = step(second)
            assert float(second[-1]) == 2 * number + 3
            assert float(third[0]) == float(third[-1]) == 4 * number + 7

    program()
    assert float(session.run(v)[-1]) == sum(range(1, 21))
    if library == "cupy":
        for stream in (cupy.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)):
            with stream:
                program()
    session.close()


def test_times_are_those_of_events_on_the_stream(cupy):
    gpu = make()
    timer = gpu.timer()
    timer.mark()
    with gpu.activate():
        gpu._stream.note("kernel")
        gpu._stream.note("kernel")
    timer.mark()
    timer.mark()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="NotReady"):
        timer.nanoseconds()
    gpu.synchronize()
    assert timer.nanoseconds() == [0, 3_000_000, 4_000_000]
    assert cupy.here.card == 7


@pytest.mark.parametrize("value", [None, "", "0"])
def test_profilers_see_no_names_unless_they_are_asked_for(cupy, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("TFSESSION_NVTX", raising=False)
    else:
        monkeypatch.setenv("TFSESSION_NVTX", value)
    gpu = make()
    assert gpu.shown(abs, "name") is abs
    assert cupy.imports == 0


def test_profilers_see_the_names_of_operations(cupy, monkeypatch):
    monkeypatch.setenv("TFSESSION_NVTX", "1")
    ranges = cupy.cuda.nvtx
    gpu = make()
    inner = gpu.shown(lambda x, scale: x * scale, "inner")
    outer = gpu.shown(lambda x: inner(x, scale=2) / (x - 1), "outer")
    assert outer(3) == 3
    with pytest.raises(ZeroDivisionError):
        outer(1)
    assert ranges.all == ["outer", "outer/inner"] * 2
    assert ranges.open == []


@pytest.mark.gpu
def test_a_real_card_tells_when_it_computed(fresh_graph):
    with tf.device("/gpu:0"):
        x = tf.random.uniform([2048, 2048], seed=1)
        product = tf.matmul(x, x, name="product")
    metadata = tf.RunMetadata()
    with tf.Session() as session:
        options = tf.RunOptions(trace_level=tf.RunOptions.HARDWARE_TRACE)
        for _ in range(3):
            session.run(product.op, options=options, run_metadata=metadata)
    streams = {s.device: s for s in metadata.step_stats.dev_stats if "/stream:all" in s.device}
    (stream,) = streams.values()
    nanos = {node.node_name: node.all_end_rel_nanos for node in stream.node_stats}
    # 17 GFLOP: no card does more than a few PFLOP/s, nor so few that it took a second.
    assert 5_000 < nanos["product:MatMul"] < 1_000_000_000


@pytest.mark.gpu
def test_a_real_card_counts_from_its_first_mark(fresh_graph):
    with tf.Session() as session:
        session.run(tf.constant(0))
        device = next(d for d in session._engine.devices.devices if d.device_type == "GPU")
        timer = device.timer()
        timer.mark()
        with device.activate():
            values = device.xp.ones((4096, 4096), np.float32)
            for _ in range(20):
                values = values * 1.5
        timer.mark()
        device.synchronize()
        first, last = timer.nanoseconds()
        assert first == 0 < last
