"""Which GPUs this machine has and which of them can be used, found without a side effect.

No CUDA context is made, no GPU memory taken, CuPy not imported. NVML is loaded only where the
driver library is present.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from tfsession.devices.driver import (
    DriverDevice,
    DriverError,
    driver_devices,
    load_driver,
    normal_bus_id,
)

__all__ = ["Cupy", "PhysicalGpu", "Survey", "driver_versions", "find_cupy", "survey"]

_CUPY_ENTRY = re.compile(r"(cupy(?:_cuda\d+x)?)-([^-]+)\.dist-info")
HIDDEN = "hidden by CUDA_VISIBLE_DEVICES"


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
    import pynvml  # noqa: PLC0415  55 ms, for nothing on a machine without a GPU

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _ask(nvml: Any, call: Any, *args: Any) -> Any:
    """What `call` answers, or None for a question that this card does not support."""
    try:
        return call(*args)
    except nvml.NVMLError:
        return None


def _describe(nvml: Any, handle: Any) -> PhysicalGpu:
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return PhysicalGpu(
        name=_text(_ask(nvml, nvml.nvmlDeviceGetName, handle) or "unknown"),
        pci_bus_id=normal_bus_id(_text(nvml.nvmlDeviceGetPciInfo(handle).busId)),
        uuid=_text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle) or ""),
        total_bytes=int(memory.total) if memory else None,
        free_bytes=int(memory.free) if memory else None,
        compute_capability=(int(capability[0]), int(capability[1])) if capability else None,
    )


def _split_into_instances(nvml: Any, handle: Any) -> bool:
    mode = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return bool(mode and mode[0])


def _nvml_table(nvml: Any) -> tuple[list[PhysicalGpu], bool]:
    """All cards in PCI order, and whether any is split into instances."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    split = any(_split_into_instances(nvml, handle) for handle in handles)
    return [_describe(nvml, handle) for handle in handles], split


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


def _numbered_by_driver(cards: list[PhysicalGpu], split: bool, environ: Mapping[str, str]) -> bool:
    """Whether CUDA may number the cards otherwise than NVML: unlike cards, or parts of cards."""
    unlike = len({card.name for card in cards}) > 1
    by_bus = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return split or (unlike and not by_bus)


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


def _nvml_answers(nvml: Any) -> tuple[list[PhysicalGpu], bool, int | None]:
    """The cards, whether one is split, and the CUDA major version that the driver is for."""
    try:
        cards, split = _nvml_table(nvml)
        version = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
        return cards, split, version // 1000 if version else None
    except nvml.NVMLError:
        return [], False, None
    finally:
        nvml.nvmlShutdown()


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
    nvml = _open_nvml()
    cards, split, cuda_major = _nvml_answers(nvml) if nvml else ([], False, None)
    chosen = _visible(cards, listed)
    if not cards or chosen is None or _numbered_by_driver(cards, split, environ):
        try:
            visible = _joined(driver_devices(library), cards)
        except DriverError as error:
            return Survey((), f"the NVIDIA driver gives no device: {error}")
    else:
        visible = [cards[i] for i in chosen]
    cupy = find_cupy()
    gpus = [replace(gpu, reason=_why_not(gpu, cupy, cuda_major)) for gpu in visible]
    seen = {gpu.pci_bus_id for gpu in gpus}
    hidden = [replace(card, reason=HIDDEN) for card in cards if card.pci_bus_id not in seen]
    gpus.sort(key=lambda gpu: not gpu.usable)  # stable: numbers follow CUDA's order
    return Survey((*gpus, *hidden), "" if gpus else "no GPU is visible")


def driver_versions() -> tuple[str, str]:
    """The NVIDIA driver's version and the CUDA version it is for; empty where there is none."""
    nvml = _open_nvml() if load_driver() is not None else None
    if nvml is None:
        return "", ""
    try:
        cuda = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
        driver = _text(_ask(nvml, nvml.nvmlSystemGetDriverVersion) or "")
    finally:
        nvml.nvmlShutdown()
    return driver, f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
