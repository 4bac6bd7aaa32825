"""A session's devices."""

import logging
import re

import pytest

from tfsession.core import protos
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.devices import layout, manager
from tfsession.devices.cuda import CudaDevice
from tfsession.devices.manager import DeviceManager
from tfsession.devices.nvml import HIDDEN, PhysicalGpu, Survey

PREFIX = "/job:localhost/replica:0/task:0/device:"
MIB = 1 << 20
NO_GPU = {"TFSESSION_DISABLE_GPU": "1"}
TWO = {"TFSESSION_SIMULATED_GPUS": "2:256MiB"}


def names(found):
    return [device.name.removeprefix(PREFIX) for device in found.devices]


@pytest.mark.parametrize(
    ("count", "environ", "expected"),
    [
        (None, NO_GPU, ["CPU:0"]),
        ({}, NO_GPU, ["CPU:0"]),
        ({"CPU": 3}, NO_GPU, ["CPU:0", "CPU:1", "CPU:2"]),
        ({"cpu": 3, "FOO": 2}, NO_GPU, ["CPU:0"]),
        ({"GPU": 3}, NO_GPU, ["CPU:0"]),
        ({"GPU": -1}, NO_GPU, ["CPU:0"]),
        (None, TWO, ["CPU:0", "GPU:0", "GPU:1"]),
        ({"CPU": 2, "GPU": 1}, TWO, ["CPU:0", "CPU:1", "GPU:0"]),
        ({"GPU": 0}, TWO, ["CPU:0"]),
        ({"GPU": 5}, TWO, ["CPU:0", "GPU:0", "GPU:1"]),
    ],
)
def test_which_devices(count, environ, expected):
    found = DeviceManager(count, environ=environ)
    assert names(found) == expected
    assert found.host is found.devices[0]
    for device in found.devices:
        assert found.by_name(device.name) is device


@pytest.mark.parametrize("cpus", [0, -1])
def test_a_process_needs_a_cpu(cpus):
    with pytest.raises(NotFoundError) as error:
        DeviceManager({"CPU": cpus}, environ=TWO)
    assert error.value.message == "No CPU devices are available in this process"


def test_an_unknown_name():
    with pytest.raises(KeyError):
        DeviceManager(environ=NO_GPU).by_name(PREFIX + "GPU:0")


def test_list_devices():
    found = DeviceManager({"CPU": 2}, environ=TWO)
    listed = found.list_devices()
    assert [entry.device_type for entry in listed] == ["CPU", "CPU", "GPU", "GPU"]
    assert {entry.memory_limit_bytes for entry in listed} == {268435456}
    assert listed[0].memory_limit == 268435456
    assert len({entry.incarnation for entry in listed} - {0}) == 4
    again = found.list_devices()
    assert [a.incarnation for a in again] == [a.incarnation for a in listed]
    other = DeviceManager({"CPU": 2}, environ=TWO).list_devices()
    assert not {a.incarnation for a in other} & {a.incarnation for a in listed}
    text = rf"_DeviceAttributes\({PREFIX}CPU:0, CPU, 268435456, -?\d+\)"
    assert re.fullmatch(text, repr(listed[0]))
    with pytest.raises(AttributeError, match="no setter"):
        listed[0].name = "x"


def test_real_messages_configure_it():
    config = protos.ConfigProto(device_count={"CPU": 2})
    config.gpu_options.visible_device_list = "1,0"
    config.gpu_options.per_process_gpu_memory_fraction = 0.5
    found = DeviceManager(config.device_count, config.gpu_options, environ=TWO)
    assert names(found) == ["CPU:0", "CPU:1", "GPU:0", "GPU:1"]
    assert found.devices[2].memory_limit_bytes == 128 * MIB
    assert "pci bus id: ffff:01:00.0" in found.devices[2].physical_description
    config.gpu_options.visible_device_list = "0,2"
    with pytest.raises(InvalidArgumentError, match="invalid Device id '2' but visible device"):
        DeviceManager(config.device_count, config.gpu_options, environ=TWO)


def test_virtual_devices_of_a_real_message():
    options = protos.GPUOptions()
    options.experimental.virtual_devices.add(memory_limit_mb=[10, 20])
    options.experimental.virtual_devices.add()
    found = DeviceManager(None, options, environ=TWO)
    limits = [device.memory_limit_bytes // MIB for device in found.devices[1:]]
    assert limits == [10, 20, 256]


def test_device_mapping():
    assert DeviceManager(environ=NO_GPU).device_mapping() == "Device mapping: no known devices."
    text = DeviceManager({"GPU": 1}, environ=TWO).device_mapping()
    assert text == (
        f"Device mapping:\n{PREFIX}GPU:0 -> device: 0, name: Simulated GPU, "
        "pci bus id: ffff:00:00.0, compute capability: none\n"
    )


def test_managers_do_not_share_memory():
    small = protos.GPUOptions(per_process_gpu_memory_fraction=0.25)
    first, second = DeviceManager(None, small, TWO), DeviceManager(None, None, TWO)
    kept = [found.devices[1].xp.zeros(4 * MIB) for found in (first, second)]
    assert [found.devices[1].memory_limit_bytes // MIB for found in (first, second)] == [64, 256]
    first.close()
    first.close()
    del kept[0]
    assert first.devices[1].memory_stats().in_use == 0
    assert second.devices[1].memory_stats().in_use == 32 * MIB
    second.close()
    assert second.devices[1].memory_stats().in_use == 32 * MIB  # what is held is told
    del kept[0]
    assert second.devices[1].memory_stats().in_use == 0


def gpu(reason=""):
    return PhysicalGpu("NVIDIA H200", "0000:17:00.0", "GPU-0", 80 << 30, 79 << 30, (9, 0), reason)


def test_real_cards_stand_behind_the_same_interface(monkeypatch):
    monkeypatch.setattr(layout, "survey", lambda _environ: Survey((gpu(), gpu(HIDDEN))))
    found = DeviceManager(environ={})
    assert names(found) == ["CPU:0", "GPU:0"]
    assert isinstance(found.devices[1], CudaDevice)
    assert found.devices[1].memory_limit_bytes == (79 << 30) - 1800 * MIB
    found.close()


def test_a_card_that_is_left_alone_is_told_once(monkeypatch, caplog):
    reason = "CuPy is not installed: pip install 'tfsession[cuda13]'"
    found = Survey((gpu(reason), gpu(HIDDEN)))
    monkeypatch.setattr(layout, "survey", lambda _environ: found)
    monkeypatch.setattr(manager, "_told", set())
    with caplog.at_level(logging.WARNING, logger="tfsession"):
        assert names(DeviceManager(environ={})) == ["CPU:0"]
        assert names(DeviceManager(environ={})) == ["CPU:0"]
    assert [record.getMessage() for record in caplog.records] == [
        f"NVIDIA H200 is not used: {reason}"
    ]


def test_without_gpus_wanted_none_is_looked_for(monkeypatch):
    def refuse(_environ):
        raise AssertionError("looked")

    monkeypatch.setattr(layout, "survey", refuse)
    assert names(DeviceManager({"GPU": 0}, environ={})) == ["CPU:0"]


@pytest.mark.parametrize("environ", [NO_GPU | {"TFSESSION_DISABLE_GPU": "0"}, TWO])
def test_a_session_may_ask_for_simulated_gpus(environ):
    options = protos.DeviceOptions(simulated_gpus="3:1GiB")
    found = DeviceManager(environ=environ, device_options=options)
    assert names(found) == ["CPU:0", "GPU:0", "GPU:1", "GPU:2"]
    assert [d.memory_limit_bytes for d in found.devices[1:]] == [1 << 30] * 3


def test_simulated_gpus_that_cannot_be_read():
    options = protos.DeviceOptions(simulated_gpus="many")
    with pytest.raises(InvalidArgumentError, match="simulated_gpus must be '<count>' or"):
        DeviceManager(environ=NO_GPU | {"TFSESSION_DISABLE_GPU": ""}, device_options=options)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"/cpu:0": "2GiB"}, [2048, 256, 256, 256]),
        ({"/cpu": "64MiB", "/gpu:1": "8MiB"}, [64, 64, 256, 8]),
        ({"/device:GPU:*": "1GiB", PREFIX + "GPU:0": "1048576"}, [256, 256, 1, 1024]),
        ({"/job:localhost/task:0/gpu:0": "1mib"}, [256, 256, 1, 256]),
    ],
)
def test_limits_by_name(limits, expected):
    options = protos.DeviceOptions(memory_limits=limits)
    found = DeviceManager({"CPU": 2}, environ=TWO, device_options=options)
    assert [device.memory_limit_bytes // MIB for device in found.devices] == expected
    listed = [attributes.memory_limit_bytes // MIB for attributes in found.list_devices()]
    assert listed == expected
    for device, limit in zip(found.devices, expected, strict=True):
        stats = device.memory_stats()
        if device.device_type == "CPU" and limit == 256:
            assert stats is None  # not limited, not counted
        else:
            assert stats == (0, 0, limit * MIB, 0, 0, limit * MIB, ())


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"/gpu:2": "1MiB"}, "'/gpu:2' is none of this session's devices: /job:localhost"),
        ({"/job:ps/cpu:0": "1MiB"}, "'/job:ps/cpu:0' is none of this session's devices"),
        ({"/cpu:0": "much"}, "['/cpu:0'] is 'much', which is no size such as '512MiB'"),
        ({"/cpu:0": "0"}, "is '0', which is no size"),
        ({"/cpu:0": "-1MiB"}, "is '-1MiB', which is no size"),
        ({"/cpu:0": ""}, "is '', which is no size"),
        ({"garbage": "1MiB"}, "'garbage' is no device name"),
    ],
)
def test_limits_that_cannot_be_set(limits, text):
    options = protos.DeviceOptions(memory_limits=limits)
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        DeviceManager(environ=TWO, device_options=options)


def test_a_device_is_found_by_what_programs_call_it():
    found = DeviceManager({"CPU": 1}, environ=TWO)
    for name in ("/gpu:1", "GPU:1", PREFIX + "GPU:1", "/task:0/device:GPU:1"):
        assert found.find(name) is found.devices[2]
    assert found.find("/cpu") is found.host
    for name, text in {
        "/gpu": "stands for several of this session's devices",
        "": "stands for several",
        "/gpu:7": "is none of this session's devices",
    }.items():
        with pytest.raises(InvalidArgumentError, match=text):
            found.find(name)
