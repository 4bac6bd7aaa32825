"""Copies between every two kinds of memory, and what they count."""

import numpy as np
import pytest

from tfsession.core.errors import ResourceExhaustedError
from tfsession.devices.manager import DeviceManager
from tfsession.devices.transfer import copy, start_copy, wait_for

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def devices():
    manager = DeviceManager({"CPU": 2}, environ={"TFSESSION_SIMULATED_GPUS": "2:1KiB"})
    yield manager.devices
    manager.close()


def moved(devices):
    """Copies to each GPU, from it, and from its peer, with the bytes of each way."""
    return [(*gpu.counters()[1:4], *gpu.counters()[7:10]) for gpu in devices[2:]]


def test_between_cpus_nothing_moves(devices):
    assert copy(FLOATS, devices[0], devices[1]) is FLOATS
    scalar = np.float32(2)
    assert copy(scalar, devices[1], devices[0]) is scalar


def test_to_itself_nothing_moves(devices):
    array = devices[2].to_device(FLOATS)
    assert copy(array, devices[2], devices[2]) is array
    assert moved(devices) == [(1, 0, 0, 24, 0, 0), (0,) * 6]


VALUES = [FLOATS, FLOATS.T, np.float32(2), np.zeros((0, 3)), np.array(True)]


@pytest.mark.parametrize("value", VALUES)
def test_around_the_machine(devices, value):
    cpu, _, first, second = devices
    there = copy(value, cpu, first)
    across = copy(there, first, second)
    back = copy(across, second, cpu)
    np.testing.assert_array_equal(back, value)
    assert back.dtype == value.dtype
    nbytes = np.asarray(value).nbytes
    assert moved(devices) == [(1, 0, 0, nbytes, 0, 0), (0, 1, 1, 0, nbytes, nbytes)]
    # Only what the host reads is waited for.
    assert [gpu.counters().synchronizations for gpu in devices[2:]] == [0, 1]


def test_the_hosts_memory_needs_no_device(devices):
    gpu = devices[2]
    there = copy(FLOATS, None, gpu)
    np.testing.assert_array_equal(copy(there, gpu, None), FLOATS)
    assert copy(FLOATS, None, devices[0]) is FLOATS


def test_a_batch_waits_once(devices):
    cpu, _, gpu, _ = devices
    arrays = [gpu.to_device(FLOATS * i) for i in range(3)]
    back = [start_copy(array, gpu, cpu) for array in arrays]
    wait_for([gpu, gpu, gpu])
    np.testing.assert_array_equal(back, [FLOATS * i for i in range(3)])
    wait_for([cpu, None])
    assert gpu.counters().synchronizations == 1


def test_too_little_memory_leaves_both_sides_well(devices):
    cpu, _, first, second = devices
    array = copy(np.zeros(100), cpu, first)
    held = copy(np.zeros(100), cpu, second)
    with pytest.raises(ResourceExhaustedError, match=r"shape\[100\] and type double on .*GPU:1"):
        copy(array, first, second)
    del held
    assert copy(copy(array, first, second), second, cpu).sum() == 0
