"""Session options laid over cards."""

from types import SimpleNamespace

import pytest

from tfsession.core.errors import InvalidArgumentError, UnknownError
from tfsession.devices.layout import find_gpus, gpu_slots, memory_limit, visible_order
from tfsession.devices.nvml import PhysicalGpu

MIB = 1 << 20
GIB = 1 << 30


def card(number=0, total=80 * GIB, free=79 * GIB, capability=(9, 0)):
    return PhysicalGpu(
        "NVIDIA", f"0000:{number:02x}:00.0", f"GPU-{number}", total, free, capability
    )


def options(**fields):
    experimental = {k: fields.pop(k) for k in list(fields) if k in EXPERIMENTAL}
    base = {"per_process_gpu_memory_fraction": 0.0, "visible_device_list": ""}
    return SimpleNamespace(**{**base, **fields}, experimental=SimpleNamespace(**experimental))


EXPERIMENTAL = {
    *("virtual_devices", "num_virtual_devices_per_gpu", "gpu_system_memory_size_in_mb"),
    "use_unified_memory",
}


def virtual(*limits, **others):
    return SimpleNamespace(memory_limit_mb=list(limits), **others)


@pytest.mark.parametrize(
    ("listed", "order"),
    [("", [0, 1, 2]), ("2,0", [2, 0]), ("1", [1]), (" 1 ,0", [1, 0]), ("+1", [1])],
)
def test_visible_device_list(listed, order):
    assert visible_order(listed, 3) == order


@pytest.mark.parametrize(
    ("listed", "phrase"),
    [
        ("x", "Could not parse entry in 'visible_device_list': 'x'. visible_device_list = x"),
        ("0,,1", "Could not parse entry in 'visible_device_list': ''. visible_device_list = 0,,1"),
        ("1.0", "Could not parse entry in 'visible_device_list': '1.0'."),
        ("3", "listed an invalid Device id '3' but visible device count is 3"),
        ("-1", "listed an invalid Device id '-1' but visible device count is 3"),
        ("1,0,1", "visible_device_list contained a duplicate entry: 1,0,1"),
    ],
)
def test_visible_device_list_errors(listed, phrase):
    with pytest.raises(InvalidArgumentError) as error:
        gpu_slots([card(i) for i in range(3)], None, options(visible_device_list=listed))
    assert phrase in error.value.message


@pytest.mark.parametrize(
    ("wanted", "cards"), [(None, [0, 1]), (0, []), (1, [0]), (2, [0, 1]), (9, [0, 1]), (-1, [0, 1])]
)
def test_device_count(wanted, cards):
    assert [slot.card for slot in gpu_slots([card(0), card(1)], wanted, None)] == cards


def test_device_count_takes_the_first_of_the_visible_ones():
    slots = gpu_slots([card(i) for i in range(3)], 1, options(visible_device_list="2,1"))
    assert [(slot.card, slot.gpu.uuid) for slot in slots] == [(2, "GPU-2")]


def test_no_cards_means_no_errors_either():
    assert gpu_slots([], None, options(visible_device_list="x")) == []
    assert gpu_slots([card()], 0, options(visible_device_list="x")) == []


@pytest.mark.parametrize(
    ("free", "capability", "reserve"),
    [
        (2 * GIB - 1, (9, 0), 225),
        (2 * GIB, (5, 2), 500),
        (2 * GIB, (6, 1), 500),
        (2 * GIB, (7, 5), 1050),
        (8 * GIB, (8, 6), 1536),
        (8 * GIB, (9, 0), 1800),
        (8 * GIB, (12, 0), 1800),
        (8 * GIB, None, 1800),
    ],
)
def test_default_limit_leaves_a_reserve(free, capability, reserve):
    gpu = card(free=free, capability=capability)
    assert memory_limit(gpu, None) == free - reserve * MIB
    assert memory_limit(gpu, options()) == free - reserve * MIB


@pytest.mark.parametrize(
    ("fields", "gpu", "limit"),
    [
        ({"per_process_gpu_memory_fraction": 0.5}, card(), 40 * GIB),
        ({"per_process_gpu_memory_fraction": 1.5}, card(), 120 * GIB),
        ({"gpu_system_memory_size_in_mb": 1024}, card(), 78 * GIB),
        ({}, card(free=100 * MIB), 0),
        ({}, card(free=None, total=8 * GIB), 8 * GIB - 1800 * MIB),
    ],
)
def test_limits(fields, gpu, limit):
    assert memory_limit(gpu, options(**fields)) == limit


@pytest.mark.parametrize(
    ("fraction", "capability", "phrase"),
    [(-0.1, (9, 0), "must not be negative"), (1.5, (5, 2), "unified memory")],
)
def test_limit_errors(fraction, capability, phrase):
    with pytest.raises(InvalidArgumentError, match=phrase):
        memory_limit(card(capability=capability), options(per_process_gpu_memory_fraction=fraction))


def test_virtual_devices():
    split = options(virtual_devices=[virtual(1024.0, 512.0), virtual()])
    slots = gpu_slots([card(0), card(1)], None, split)
    rest = 79 * GIB - 1800 * MIB
    assert [(s.card, s.limit) for s in slots] == [(0, GIB), (0, 512 * MIB), (1, rest)]


@pytest.mark.parametrize(
    ("fields", "unified"),
    [
        ({}, False),
        ({"per_process_gpu_memory_fraction": 1.0}, False),
        ({"per_process_gpu_memory_fraction": 1.5}, True),
        ({"use_unified_memory": True}, True),
    ],
)
def test_unified_memory_is_for_those_who_ask_for_it_or_for_more_than_there_is(fields, unified):
    assert [slot.unified for slot in gpu_slots([card()], None, options(**fields))] == [unified]


def test_equal_parts():
    slots = gpu_slots([card()], None, options(num_virtual_devices_per_gpu=4))
    assert [slot.limit for slot in slots] == [(79 * GIB - 1800 * MIB) // 4] * 4


@pytest.mark.parametrize(
    ("wanted", "fields", "error", "phrase"),
    [
        (
            None,
            {"virtual_devices": [virtual(1.0)] * 2, "per_process_gpu_memory_fraction": 0.5},
            InvalidArgumentError,
            "It's invalid to set per_process_gpu_memory_fraction when virtual_devices is set.",
        ),
        (1, {"virtual_devices": [virtual(1.0)] * 2}, UnknownError, "Not enough GPUs to create"),
        (
            None,
            {"virtual_devices": [virtual(1.0)], "visible_device_list": "0,1"},
            InvalidArgumentError,
            "The number of GPUs in visible_device_list doesn't match",
        ),
        (
            None,
            {"virtual_devices": [virtual(1.0)]},
            UnknownError,
            "The number of valid GPUs doesn't match",
        ),
        (
            None,
            {"virtual_devices": [virtual(1.0)] * 2, "num_virtual_devices_per_gpu": 2},
            InvalidArgumentError,
            "num_virtual_devices_per_gpu cannot be set",
        ),
    ],
)
def test_virtual_device_errors(wanted, fields, error, phrase):
    with pytest.raises(error, match=phrase):
        gpu_slots([card(0), card(1)], wanted, options(**fields))


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("2:256MiB", [256 * MIB] * 2),
        ("1", [256 * MIB]),
        ("1:1GiB", [GIB]),
        ("1:64kib", [64 << 10]),
        (" 3:1000 ", [1000] * 3),
        ("0", []),
        ("0:1MiB", []),
    ],
)
def test_simulated_gpus(text, limits):
    found = find_gpus({"TFSESSION_SIMULATED_GPUS": text})
    assert all(gpu.simulated and gpu.usable for gpu in found.gpus)
    assert [slot.limit for slot in gpu_slots(found.usable, None, None)] == limits


@pytest.mark.parametrize("text", ["x", "2:", "-1", "2:256MB", "2:MiB", "1.5", "2:256MiB:3", "٢"])
def test_simulated_gpus_refused(text):
    with pytest.raises(InvalidArgumentError, match="as in '2:256MiB', but is") as error:
        find_gpus({"TFSESSION_SIMULATED_GPUS": text})
    assert repr(text) in error.value.message


def test_disabling_wins_over_simulating():
    environ = {"TFSESSION_SIMULATED_GPUS": "2", "TFSESSION_DISABLE_GPU": "1"}
    assert find_gpus(environ).gpus == ()


def test_a_simulated_limit_is_a_fraction_too():
    found = find_gpus({"TFSESSION_SIMULATED_GPUS": "1:100MiB"})
    (slot,) = gpu_slots(found.usable, None, options(per_process_gpu_memory_fraction=0.25))
    assert slot.limit == 25 * MIB
