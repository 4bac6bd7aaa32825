"""Which GPUs this machine has and which of them can be used, found without a side effect.

No CUDA context is made, no GPU memory taken, CuPy not imported. NVML is loaded only where the
driver library is present.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from tfsession.devices.driver import (
    DriverDevice,
    DriverError,
    cuda_version,
    devices_apart,
    load_driver,
    normal_bus_id,
)

__all__ = [
    "Cupy",
    "PhysicalGpu",
    "Survey",
    "answer",
    "bus_id_of",
    "driver_versions",
    "find_cupy",
    "handles",
    "opened",
    "survey",
    "uuid_of",
]

_CUPY_ENTRY = re.compile(r"(cupy(?:_cuda\d+x)?)-([^-]+)\.dist-info")
HIDDEN = "hidden by CUDA_VISIBLE_DEVICES"
_LOST = "NVML cannot reach it: it has failed, or this process may not see it"


@dataclass(frozen=True, slots=True)
class PhysicalGpu:
    """A card as the driver describes it; None for what could not be found out."""

    name: str
    pci_bus_id: str
    uuid: str
    total_bytes: int | None
    free_bytes: int | None
    compute_capability: tuple[int, int] | None
    reason: str = ""  # why it cannot be used; empty when it can
    simulated: bool = False

    @property
    def usable(self) -> bool:
        """Whether a session may compute on it."""
        return not self.reason


class Survey(NamedTuple):
    """The GPUs in the order of their numbers, unusable ones last, and why where there are none."""

    gpus: tuple[PhysicalGpu, ...]
    note: str = ""

    @property
    def usable(self) -> tuple[PhysicalGpu, ...]:
        """Those that sessions may use: GPU:0, GPU:1, ..."""
        return tuple(gpu for gpu in self.gpus if gpu.usable)


class Cupy(NamedTuple):
    """An installed CuPy: its distribution, version and the CUDA major version it is built for."""

    distribution: str
    version: str
    cuda_major: int | None


def find_cupy() -> Cupy | None:
    """The installed CuPy, without importing it; None where there is none."""
    spec = util.find_spec("cupy")
    if spec is None or spec.origin is None:
        return None
    # importlib.metadata would say the same, but costs more than all the rest of the command line.
    for entry in sorted(Path(spec.origin).parent.parent.glob("cupy*.dist-info")):
        found = _CUPY_ENTRY.fullmatch(entry.name)
        if found:
            digits = "".join(filter(str.isdigit, found[1]))
            return Cupy(found[1].replace("_", "-"), found[2], int(digits) if digits else None)
    return Cupy("cupy", "unknown", None)


def _open_nvml() -> Any:
    """The NVML binding, started; None where the library is missing or refuses."""
    try:
        import pynvml  # noqa: PLC0415  55 ms, for nothing on a machine without a GPU

        pynvml.nvmlInit()
    except Exception:  # whatever is wrong with NVML, the driver can still be asked
        return None
    return pynvml


@contextmanager
def opened() -> Iterator[Any]:
    """The NVML binding while it may be asked, or None; opening it again within costs nothing."""
    nvml = _open_nvml()
    try:
        yield nvml
    finally:
        if nvml is not None:
            with suppress(Exception):
                nvml.nvmlShutdown()


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is no text")
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def answer(call: Any, *args: Any) -> Any:
    """What `call` answers, or None: not every card, driver and binding knows every question."""
    try:
        return call(*args)
    except Exception:  # NVML's own error, a missing function, a text that is not UTF-8
        return None


def handles(nvml: Any) -> list[Any]:
    """NVML's handles of all cards in PCI order; None for one that it has lost."""
    count = answer(lambda: int(nvml.nvmlDeviceGetCount())) or 0
    return [answer(nvml.nvmlDeviceGetHandleByIndex, i) for i in range(count)]


def bus_id_of(nvml: Any, handle: Any) -> str:
    """A card's bus id in its one form; empty where it is not told."""
    return answer(lambda: normal_bus_id(_text(nvml.nvmlDeviceGetPciInfo(handle).busId))) or ""


def uuid_of(nvml: Any, handle: Any) -> str:
    """A card's UUID; empty where it is not told."""
    return answer(lambda: _text(nvml.nvmlDeviceGetUUID(handle))) or ""


def _describe(nvml: Any, handle: Any) -> PhysicalGpu:
    memory = answer(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    capability = answer(lambda: tuple(map(int, nvml.nvmlDeviceGetCudaComputeCapability(handle))))
    return PhysicalGpu(
        name=answer(lambda: _text(nvml.nvmlDeviceGetName(handle))) or "unknown",
        pci_bus_id=bus_id_of(nvml, handle),
        uuid=uuid_of(nvml, handle),
        total_bytes=answer(lambda: int(memory.total)),
        free_bytes=answer(lambda: int(memory.free)),
        compute_capability=capability if capability and len(capability) == 2 else None,
    )


def _split_into_instances(nvml: Any, handle: Any) -> bool:
    mode = answer(lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    return bool(mode)


class _Table(NamedTuple):
    """What NVML tells: the cards in PCI order, how many it has lost, the driver's CUDA version.

    Where one is lost, or `split` into instances, the driver may count them otherwise.
    """

    cards: list[PhysicalGpu] = []  # noqa: RUF012  never written to
    lost: int = 0
    split: bool = False
    cuda_major: int | None = None


def _nvml_table() -> _Table:
    with opened() as nvml:
        if nvml is None:
            return _Table()
        found = handles(nvml)
        known = [handle for handle in found if handle is not None]
        version = answer(lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2()))
        return _Table(
            [_describe(nvml, handle) for handle in known],
            len(found) - len(known),
            any(_split_into_instances(nvml, handle) for handle in known),
            version // 1000 if version else None,
        )


def _visible(cards: list[PhysicalGpu], listed: str | None) -> list[int] | None:
    """Indices of the cards that CUDA_VISIBLE_DEVICES names, in its order.

    As CUDA reads it: the first entry that names nothing ends the list, a repeated card empties it.
    None where an entry names a part of a card, which this table does not hold.
    """
    if listed is None:
        return list(range(len(cards)))
    chosen: list[int] = []
    for entry in (part.strip() for part in listed.split(",")):
        if entry.startswith("MIG-"):
            return None
        if entry.startswith("GPU-"):
            found = [i for i, card in enumerate(cards) if card.uuid.startswith(entry)]
        else:
            number = int(entry) if entry.isdecimal() else -1
            found = [number] if 0 <= number < len(cards) else []
        if len(found) != 1:
            break
        if found[0] in chosen:
            return []
        chosen.append(found[0])
    return chosen


def _numbered_by_driver(table: _Table, environ: Mapping[str, str]) -> bool:
    """Whether CUDA may number the cards otherwise than NVML does: unlike cards, and parts."""
    unlike = len({card.name for card in table.cards}) > 1
    by_bus = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return table.split or table.lost > 0 or (unlike and not by_bus)


def _joined(found: list[DriverDevice], cards: list[PhysicalGpu]) -> list[PhysicalGpu]:
    """The driver's devices, with NVML's free memory where a whole card is meant."""
    by_uuid = {card.uuid: card for card in cards if card.uuid}
    gpus = []
    for device in found:
        card = by_uuid.get(device.uuid)
        gpus.append(
            PhysicalGpu(
                device.name,
                device.pci_bus_id,
                device.uuid,
                device.total_bytes,
                card.free_bytes if card else None,
                device.compute_capability,
            )
        )
    return gpus


def _why_not(gpu: PhysicalGpu, cupy: Cupy | None, cuda_major: int | None) -> str:
    """Why a visible card cannot be used; empty when it can."""
    if cupy is None:
        extra = "cuda12" if cuda_major is not None and cuda_major < 13 else "cuda13"
        return f"CuPy is not installed: pip install 'tfsession[{extra}]'"
    if cupy.cuda_major and cuda_major and cuda_major < cupy.cuda_major:
        return (
            f"{cupy.distribution} needs a driver for CUDA {cupy.cuda_major}, "
            f"and this one is for CUDA {cuda_major}"
        )
    least = (7, 5) if cupy.cuda_major == 13 else (5, 0)
    if gpu.compute_capability is not None and gpu.compute_capability < least:
        have, need = (f"{major}.{minor}" for major, minor in (gpu.compute_capability, least))
        return f"compute capability {have} is below {need}, the least that {cupy.distribution} has"
    return ""


def survey(environ: Mapping[str, str] = os.environ) -> Survey:
    """Looks for GPUs, the cheapest question first: without a driver it costs a millisecond."""
    if environ.get("TFSESSION_DISABLE_GPU", "0") not in ("", "0"):
        return Survey((), "TFSESSION_DISABLE_GPU is set")
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None and listed.strip() in ("", "-1"):
        return Survey((), "CUDA_VISIBLE_DEVICES hides every GPU")
    library = load_driver()
    if library is None:
        return Survey((), "no NVIDIA driver library (libcuda) on this machine")
    table = _nvml_table()
    cards = table.cards
    lost = [PhysicalGpu("unknown", "", "", None, None, None, _LOST)] * table.lost
    chosen = _visible(cards, listed)
    if not cards or chosen is None or _numbered_by_driver(table, environ):
        try:
            visible = _joined(devices_apart(library), cards)
        except DriverError as error:
            why = f"the NVIDIA driver gives no device: {error}"
            return Survey((*(replace(card, reason=why) for card in cards), *lost), why)
    else:
        visible = [cards[i] for i in chosen]
    cupy = find_cupy()
    gpus = [replace(gpu, reason=_why_not(gpu, cupy, table.cuda_major)) for gpu in visible]
    seen = {gpu.pci_bus_id for gpu in gpus}
    hidden = [replace(card, reason=HIDDEN) for card in cards if card.pci_bus_id not in seen]
    gpus.sort(key=lambda gpu: not gpu.usable)  # stable: numbers follow CUDA's order
    return Survey((*gpus, *hidden, *lost), "" if gpus else "no GPU is visible")


def driver_versions() -> tuple[str, str]:
    """The NVIDIA driver's version and the CUDA version it is for; empty where there is none."""
    library = load_driver()
    if library is None:
        return "", ""
    with opened() as nvml:
        cuda = answer(lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2()))
        driver = answer(lambda: _text(nvml.nvmlSystemGetDriverVersion()))
    cuda = cuda or answer(cuda_version, library)
    return driver or "", f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
