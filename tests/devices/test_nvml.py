"""Finding GPUs, on machines that a table describes."""

import ctypes
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfsession.devices import driver, nvml, readings
from tfsession.devices.driver import DriverDevice, DriverError, driver_devices, normal_bus_id
from tfsession.devices.nvml import Cupy, survey

FAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("fake_nvml.py"))))
GIB = 1 << 30
CUPY = Cupy("cupy-cuda12x", "14.2.0", 12)
card, process = FAKE.card, FAKE.process


@pytest.fixture
def machine(monkeypatch):
    """Describes the machine; returns the fake NVML."""
    return partial(FAKE.install, put=monkeypatch.setattr)


def refuse(*_args):
    raise AssertionError("asked for no reason")


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        ({"TFSESSION_DISABLE_GPU": "1"}, "TFSESSION_DISABLE_GPU is set"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES hides every GPU"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES hides every GPU"),
    ],
)
def test_a_variable_ends_the_search_before_any_library(monkeypatch, environ, note):
    for name in ("load_driver", "_open_nvml", "find_cupy", "devices_apart"):
        monkeypatch.setattr(nvml, name, refuse)
    assert survey(environ) == ((), note)


def test_no_driver_ends_it_before_nvml(monkeypatch):
    for name in ("_open_nvml", "find_cupy", "devices_apart"):
        monkeypatch.setattr(nvml, name, refuse)
    monkeypatch.setattr(nvml, "load_driver", lambda: None)
    found = survey({"TFSESSION_DISABLE_GPU": "0"})
    assert found.gpus == ()
    assert "libcuda" in found.note


def test_every_fact_of_a_card(machine):
    fake = machine([card(0)])
    (gpu,) = survey({}).gpus
    assert gpu.name == "NVIDIA H200"
    assert gpu.pci_bus_id == "0000:17:00.0"
    assert gpu.uuid.startswith("GPU-0000aaaa")
    assert (gpu.total_bytes, gpu.free_bytes) == (141 * GIB, 140 * GIB)
    assert gpu.compute_capability == (9, 0)
    assert gpu.usable
    assert gpu.reason == ""
    assert not gpu.simulated
    assert fake.open == 0


def test_what_a_card_does_not_tell_is_none(machine):
    machine([card(0, capability=None, memory=None)])
    (gpu,) = survey({}).gpus
    assert (gpu.total_bytes, gpu.free_bytes, gpu.compute_capability) == (None, None, None)
    assert gpu.usable


FIRST, SECOND, THIRD = "0000:17:00.0", "0000:18:00.0", "0000:19:00.0"


@pytest.mark.parametrize(
    ("listed", "usable"),
    [
        (None, [FIRST, SECOND, THIRD]),
        ("0", [FIRST]),
        ("2,0", [THIRD, FIRST]),
        (" 1 , 2 ", [SECOND, THIRD]),
        ("1,-1,0", [SECOND]),
        ("1,7,0", [SECOND]),
        ("x", []),
        ("0,0", []),
        ("0,GPU-0000", []),
        ("GPU-2222aaaa,GPU-0", [THIRD, FIRST]),
        ("GPU-9", []),
        ("GPU-", []),
    ],
)
def test_visible_devices(machine, listed, usable):
    machine([card(0), card(1), card(2)])
    found = survey({} if listed is None else {"CUDA_VISIBLE_DEVICES": listed})
    assert [gpu.pci_bus_id for gpu in found.usable] == usable
    assert len(found.gpus) == 3
    hidden = [gpu for gpu in found.gpus if not gpu.usable]
    assert {gpu.reason for gpu in hidden} <= {"hidden by CUDA_VISIBLE_DEVICES"}


@pytest.mark.parametrize(
    ("cupy", "cuda", "capability", "reason"),
    [
        (None, 12080, (9, 0), "CuPy is not installed: pip install 'tfsession[cuda12]'"),
        (None, 13000, (9, 0), "CuPy is not installed: pip install 'tfsession[cuda13]'"),
        (Cupy("cupy-cuda13x", "14.2", 13), 12080, (9, 0), "needs a driver for CUDA 13"),
        (Cupy("cupy-cuda13x", "14.2", 13), 13000, (7, 0), "capability 7.0 is below 7.5"),
        (CUPY, 12080, (3, 5), "capability 3.5 is below 5.0"),
    ],
)
def test_reasons_why_not(machine, cupy, cuda, capability, reason):
    machine([card(0, capability=capability)], cupy=cupy, cuda=cuda)
    found = survey({})
    assert found.usable == ()
    assert reason in found.gpus[0].reason


def test_unusable_cards_take_no_number(machine):
    machine([card(0, capability=(3, 5)), card(1)])  # of one name: NVML's order holds
    assert [gpu.pci_bus_id for gpu in survey({}).gpus] == [SECOND, FIRST]


def from_driver(number, **changes):
    base = DriverDevice("NVIDIA H200", "", card(number).uuid, 141 * GIB, (9, 0))
    return base._replace(pci_bus_id=normal_bus_id(card(number).bus), **changes)


def test_without_nvml_the_driver_is_asked(machine):
    machine([], has_nvml=False, from_driver=[from_driver(0)])
    (gpu,) = survey({}).gpus
    assert gpu.total_bytes == 141 * GIB
    assert gpu.free_bytes is None
    assert gpu.usable


def test_a_driver_that_refuses_leaves_no_gpu(machine):
    machine([], has_nvml=False, from_driver=DriverError("cuInit failed with CUDA error 100"))
    found = survey({})
    assert found.gpus == ()
    assert "CUDA error 100" in found.note


def test_unlike_cards_are_numbered_by_the_driver(machine):
    cards = [card(0, name="NVIDIA T4", capability=(7, 5)), card(1)]
    by_speed = [from_driver(1), from_driver(0, name="NVIDIA T4", compute_capability=(7, 5))]
    machine(cards, from_driver=by_speed)
    found = survey({})
    assert [gpu.pci_bus_id for gpu in found.usable] == [SECOND, FIRST]
    assert found.usable[0].free_bytes == 140 * GIB  # NVML's, joined by UUID


def test_unlike_cards_in_bus_order_need_no_driver(machine):
    machine([card(0, name="NVIDIA T4"), card(1)])
    found = survey({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert [gpu.pci_bus_id for gpu in found.usable] == [FIRST, SECOND]


def test_a_part_of_a_card_comes_from_the_driver(machine):
    part = from_driver(0, uuid="GPU-part", total_bytes=17 * GIB, name="NVIDIA H200 MIG 1g.18gb")
    machine([card(0, split=True)], from_driver=[part])
    (gpu,) = survey({}).gpus
    assert (gpu.name, gpu.total_bytes, gpu.free_bytes) == (part.name, 17 * GIB, None)
    machine([card(0)], from_driver=[part])
    (gpu,) = survey({"CUDA_VISIBLE_DEVICES": "MIG-1"}).gpus
    assert gpu.name == part.name


def test_a_lost_card_is_told_and_the_driver_counts_the_others(machine):
    machine([card(0, lost=True), card(1)], from_driver=[from_driver(1)])
    found = survey({})
    assert [gpu.pci_bus_id for gpu in found.usable] == [SECOND]
    assert found.usable[0].free_bytes == 140 * GIB
    (lost,) = (gpu for gpu in found.gpus if not gpu.usable)
    assert "NVML cannot reach it" in lost.reason


def test_cards_that_the_driver_refuses_are_told(machine):
    refusal = DriverError("cuInit failed with CUDA error 802")
    machine([card(0, name="NVIDIA T4"), card(1)], from_driver=refusal)
    found = survey({})
    assert [gpu.usable for gpu in found.gpus] == [False, False]
    assert all("CUDA error 802" in gpu.reason for gpu in found.gpus)


def test_readings(machine):
    compute = [process(7, 3 * GIB), process(9, (1 << 64) - 1)]
    fake = machine([card(0, compute=compute, graphics=[process(7), process(8)])])
    (found,) = readings.readings(with_processes=True)
    assert found.pci_bus_id == FIRST
    assert found[2:6] == (34, 45, 123.5, 700.0)
    assert found.processes == (
        (7, "compute+graphics", 3 * GIB),
        (8, "graphics", GIB),
        (9, "compute", None),
    )
    assert fake.open == 0
    (found,) = readings.readings()
    assert found.processes is None
    machine([card(0, compute=None, graphics=None, temperature=None)])
    (found,) = readings.readings(with_processes=True)
    assert (found.temperature_celsius, found.processes) == (None, None)


def test_a_part_of_a_card_has_no_reading(machine):
    part = from_driver(0, uuid="GPU-part")
    machine([card(0, split=True)], from_driver=[part])
    (gpu,) = survey({}).gpus
    assert readings.reading_of(gpu, readings.readings()) is None


def test_driver_versions(machine, monkeypatch):
    fake = machine([card(0)])
    assert nvml.driver_versions() == ("580.65.06", "12.8")
    assert fake.open == 0
    machine([], has_nvml=False)
    assert nvml.driver_versions() == ("", "13.0")
    monkeypatch.setattr(nvml, "load_driver", lambda: None)
    assert nvml.driver_versions() == ("", "")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["cupy_cuda12x-14.2.0.dist-info"], ("cupy-cuda12x", "14.2.0", 12)),
        (["cupy_cuda13x-14.0.1.dist-info"], ("cupy-cuda13x", "14.0.1", 13)),
        (["cupy-14.2.0.dist-info"], ("cupy", "14.2.0", None)),
        (["cupy_xarray-1.0.dist-info"], ("cupy", "unknown", None)),
        ([], ("cupy", "unknown", None)),
    ],
)
def test_cupy_is_found_without_importing_it(tmp_path, monkeypatch, entries, expected):
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("raise AssertionError('imported')")
    for entry in entries:
        (tmp_path / entry).mkdir()
    spec = SimpleNamespace(origin=str(tmp_path / "cupy" / "__init__.py"))
    monkeypatch.setattr(nvml.util, "find_spec", lambda _name: spec)
    assert nvml.find_cupy() == expected


def test_no_cupy(monkeypatch):
    monkeypatch.setattr(nvml.util, "find_spec", lambda _name: None)
    assert nvml.find_cupy() is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("00000000:17:00.0", "0000:17:00.0"),
        ("0000:AF:00.0", "0000:af:00.0"),
        ("00010000:04:00.0", "10000:04:00.0"),
    ],
)
def test_bus_ids_have_one_form(given, expected):
    assert normal_bus_id(given) == expected


class FakeDriver:
    """libcuda's functions over a list of (name, bus id, uuid, bytes, capability)."""

    def __init__(self, devices, init=0):
        self.devices = devices
        self.init = init

    def cuInit(self, _flags):
        return self.init

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.devices)
        return 0

    def cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, buffer, _size, device):
        buffer.value = self.devices[device.value][0]
        return 0

    def cuDeviceGetPCIBusId(self, buffer, _size, device):
        buffer.value = self.devices[device.value][1]
        return 0

    def cuDeviceGetUuid(self, identity, device):
        ctypes.memmove(identity._obj, self.devices[device.value][2], 16)
        return 0

    def cuDeviceTotalMem_v2(self, total, device):
        total._obj.value = self.devices[device.value][3]
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.devices[device.value][4][{75: 0, 76: 1}[attribute]]
        return 0


def test_the_driver_s_own_table():
    library = FakeDriver([(b"NVIDIA H200", b"0000:AF:00.0", bytes(range(16)), 141 * GIB, (9, 0))])
    assert driver_devices(library) == [
        DriverDevice(
            "NVIDIA H200",
            "0000:af:00.0",
            "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f",
            141 * GIB,
            (9, 0),
        )
    ]


def test_a_driver_error_names_the_call():
    with pytest.raises(DriverError, match="cuInit failed with CUDA error 999"):
        driver_devices(FakeDriver([], init=999))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('[[["NVIDIA H200", "0000:17:00.0", "GPU-1", 9, [9, 0]]], ""]', (9, (9, 0))),
        ('[[], "cuInit failed with CUDA error 100"]', "CUDA error 100"),
        ("", "has failed"),
    ],
)
def test_the_driver_is_asked_in_another_process(written, expected, tmp_path, monkeypatch):
    asks = tmp_path / "asks.py"
    asks.write_text(f"import sys; sys.stdout.write({written!r})")
    monkeypatch.setattr(driver, "__file__", str(asks))
    if isinstance(expected, str):
        with pytest.raises(DriverError, match=expected):
            driver.devices_apart(None)
    else:
        (found,) = driver.devices_apart(None)
        assert found[3:] == expected


def test_the_other_process_runs_this_file(monkeypatch):
    if driver.load_driver() is not None:
        pytest.skip("this machine has a driver")
    assert driver.devices_apart(None) == []
    monkeypatch.setattr(driver.sys, "executable", "/usr/sbin/uwsgi")
    with pytest.raises(DriverError, match="cuInit failed with CUDA error 999"):
        driver.devices_apart(FakeDriver([], init=999))


def test_a_missing_library_is_no_error(monkeypatch):
    def no_library(_name):
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(driver.ctypes, "CDLL", no_library)
    driver.load_driver.cache_clear()
    try:
        assert driver.load_driver() is None
    finally:
        driver.load_driver.cache_clear()
