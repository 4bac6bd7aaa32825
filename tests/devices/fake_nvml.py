"""NVML's binding and the driver over a table of cards, for machines without one.

Also for other processes: `python fake_nvml.py` is not run, but read with `runpy`.
"""

from types import SimpleNamespace

from tfsession.devices import nvml, readings
from tfsession.devices.nvml import Cupy

GIB = 1 << 30
CUPY = Cupy("cupy-cuda12x", "14.2.0", 12)


def process(pid, used=GIB):
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def card(number, name="NVIDIA H200", capability=(9, 0), memory=(141, 140), split=False, **more):
    known = {
        "name": name,
        "bus": f"00000000:{0x17 + number:02X}:00.0",
        "uuid": f"GPU-{number}{number}{number}{number}aaaa-0000-0000-0000-000000000000",
        "capability": capability,
        "memory": memory and SimpleNamespace(total=memory[0] * GIB, free=memory[1] * GIB),
        "split": split,
        "lost": False,
        "utilization": 34,
        "temperature": 45,
        "milliwatts": 123_456,
        "limit": 700_000,
        "compute": [],
        "graphics": [],
    }
    return SimpleNamespace(**(known | more))


class FakeNvml:
    """NVML's binding over a table of cards; counts that it is shut down as often as opened.

    `broken` maps the name of a function to what it does in its place: an error to raise, or an
    answer.
    """

    class NVMLError(Exception):
        pass

    def __init__(self, cards, cuda=12080):
        self.cards = cards
        self.cuda = cuda
        self.open = 0
        self.broken = {}

    def __getattribute__(self, name):
        broken = object.__getattribute__(self, "__dict__").get("broken", {})
        if name not in broken:
            return object.__getattribute__(self, name)

        def call(*_args):
            if isinstance(broken[name], Exception):
                raise broken[name]
            return broken[name]

        return call

    def _known(self, value):
        if value is None:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.cards[index].lost:
            raise self.NVMLError("GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetName(self, handle):
        return handle.name.encode()  # older bindings give bytes

    def nvmlDeviceGetUUID(self, handle):
        return handle.uuid

    def nvmlDeviceGetPciInfo(self, handle):
        return SimpleNamespace(busId=handle.bus)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return self._known(handle.memory)

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self._known(handle.capability)

    def nvmlDeviceGetMigMode(self, handle):
        return self._known((1, 1) if handle.split else None)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=self._known(handle.utilization), memory=0)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == 0
        return self._known(handle.temperature)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._known(handle.milliwatts)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._known(handle.limit)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._known(handle.compute)

    def nvmlDeviceGetMPSComputeRunningProcesses(self, handle):
        return self._known(None)

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self._known(handle.graphics)

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self._known(self.cuda)

    def nvmlSystemGetDriverVersion(self):
        return "580.65.06"


class Library:
    """The driver library, as far as it answers without being initialised."""

    def cuDriverGetVersion(self, version):
        version._obj.value = 13000
        return 0


def install(
    cards, put=setattr, cupy=CUPY, cuda=12080, has_nvml=True,
    from_driver=None,
):  # fmt: skip
    """Describe the machine, by `put(object, name, value)`; returns the fake NVML."""
    fake, library = FakeNvml(cards, cuda), Library()

    def open_nvml():
        fake.open += has_nvml
        return fake if has_nvml else None

    def ask_driver(asked):
        assert asked is library
        if from_driver is None:
            raise AssertionError("the driver was asked without need")
        if isinstance(from_driver, Exception):
            raise from_driver
        return from_driver

    put(nvml, "_open_nvml", open_nvml)
    put(nvml, "find_cupy", lambda: cupy)
    put(nvml, "devices_apart", ask_driver)
    for module in (nvml, readings):
        put(module, "load_driver", lambda: library)
    return fake
