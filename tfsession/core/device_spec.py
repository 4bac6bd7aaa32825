"""Device names: the front end's forgiving grammar and the runtime's strict one.

Texts are merged and made canonical once and then looked up, because every op created under a
device scope asks for the same few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, Self

__all__ = [
    "DeviceFields",
    "DeviceName",
    "DeviceSpec",
    "DeviceSpecV1",
    "DeviceSpecV2",
    "as_requested",
    "canonical",
    "fields_of",
    "merge",
    "parse_device_name",
]

# Types that may stand alone ("gpu:0"); any other needs "device:<type>:<index>".
_SHORT_TYPES = frozenset({"CPU", "GPU", "TPU", "CUSTOM", "EPU"})

# Job, replica, task, device type and index, each None where nothing is said.
DeviceFields = tuple[str | None, int | None, int | None, str | None, int | None]


def _upper_type(device_type: str | None) -> str | None:
    return device_type.upper() if device_type in ("cpu", "gpu") else device_type


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _index(text: str) -> int | None:
    return None if text == "*" else int(text)


def _parse(spec: str | None) -> DeviceFields:
    """The five fields of `spec`; ValueError where the grammar is left."""
    job: str | None = None
    replica: str | None = None
    task: str | None = None
    device_type: str | None = None
    device_index: int | None = None
    for part in (spec or "").split("/"):
        key, *values = part.split(":")
        if key == "":
            continue
        found: str
        if key == "job" and len(values) == 1:
            job = values[0]
            continue
        if key == "replica" and len(values) == 1:
            replica = values[0]
            continue
        if key == "task" and len(values) == 1:
            task = values[0]
            continue
        if key == "device" and len(values) == 2:
            found = _upper_type(values[0]) or ""
        elif len(values) < 2 and key.upper() in _SHORT_TYPES:
            found = key.upper()
        else:
            raise ValueError(
                f"Unknown attribute '{key}' is encountered while parsing the device spec: '{spec}'."
            )
        if device_type is not None:
            raise ValueError(
                f"Multiple device types are not allowed while parsing the device spec: {spec}."
            )
        device_type = found
        if values:
            device_index = _index(values[-1])
    # Only the last replica and task are read as numbers: an earlier one may be any text.
    return job, _int(replica), _int(task), device_type, device_index


def _format(fields: Iterable[Any]) -> str:
    job, replica, task, device_type, device_index = fields
    text = ""
    if job is not None:
        text += f"/job:{job}"
    if replica is not None:
        text += f"/replica:{replica}"
    if task is not None:
        text += f"/task:{task}"
    if device_type is not None:
        text += f"/device:{device_type}:{'*' if device_index is None else device_index}"
    return text


def _overlay(base: DeviceFields, over: DeviceFields) -> DeviceFields:
    """Field by field, `over` where it is set: an index outlives a change of type."""
    return (
        base[0] if over[0] is None else over[0],
        base[1] if over[1] is None else over[1],
        base[2] if over[2] is None else over[2],
        base[3] if over[3] is None else over[3],
        base[4] if over[4] is None else over[4],
    )


class DeviceSpecV2:
    """An immutable, possibly partial device name: job, replica, task, device type and index."""

    __slots__ = ("_fields", "_text")

    _fields: DeviceFields
    _text: str | None

    def __init__(
        self,
        job: str | None = None,
        replica: int | None = None,
        task: int | None = None,
        device_type: str | None = None,
        device_index: int | None = None,
    ) -> None:
        self._set(
            (
                None if job is None else str(job),
                _int(replica),
                _int(task),
                None if device_type is None else _upper_type(str(device_type)),
                _int(device_index),
            )
        )

    def _set(self, fields: DeviceFields) -> None:
        self._fields = fields
        self._text = None

    @classmethod
    def from_string(cls, spec: str | None) -> Self:
        """The spec that a text such as "/job:worker/task:1/gpu:0" names; ValueError otherwise."""
        made = cls()
        made._set(_parse(spec))
        return made

    def parse_from_string(self, spec: str | None) -> Self:
        """As `from_string`; this object stays as it is."""
        return type(self).from_string(spec)

    def make_merged_spec(self, dev: DeviceSpecV2) -> Self:
        """A new spec: the fields that `dev` sets, and this one's for the others."""
        over = (dev.job, dev.replica, dev.task, dev.device_type, dev.device_index)
        made = type(self)()
        made._set(_overlay(self._fields, over))
        return made

    def replace(self, **kwargs: Any) -> Self:
        """A copy with the named fields changed; None clears a field."""
        names = ("job", "replica", "task", "device_type", "device_index")
        return type(self)(**{**dict(zip(names, self._fields, strict=True)), **kwargs})

    def to_string(self) -> str:
        """Canonical text; an index without a type is left out."""
        if self._text is None:
            self._text = _format(self._fields)
        return self._text

    @property
    def job(self) -> str | None:
        """Job name, or None."""
        return self._fields[0]

    @property
    def replica(self) -> int | None:
        """Replica number, or None."""
        return self._fields[1]

    @property
    def task(self) -> int | None:
        """Task number, or None."""
        return self._fields[2]

    @property
    def device_type(self) -> str | None:
        """Device type such as "GPU", or None."""
        return self._fields[3]

    @property
    def device_index(self) -> int | None:
        """Device index, or None for any."""
        return self._fields[4]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.to_string() == other.to_string()

    def __hash__(self) -> int:
        return hash(self.to_string())

    def __repr__(self) -> str:
        job, replica, task, device_type, device_index = self._fields
        return (
            f"<DeviceSpec(job={job}, replica={replica}, task={task}, "
            f"device_type={device_type}, device_index={device_index})>"
        )


class DeviceSpecV1(DeviceSpecV2):
    """The mutable form that `tf.compat.v1` calls DeviceSpec."""

    __slots__ = ()

    # Hashing follows the fields, so a spec must not be changed while it is a dictionary's key.
    __hash__ = DeviceSpecV2.__hash__

    def _put(self, at: int, value: Any) -> None:
        fields: Any = (*self._fields[:at], value, *self._fields[at + 1 :])
        self._set(fields)

    @property
    def job(self) -> str | None:
        """Job name, or None."""
        return self._fields[0]

    @job.setter
    def job(self, job: str | None) -> None:
        self._put(0, None if job is None else str(job))

    @property
    def replica(self) -> int | None:
        """Replica number, or None."""
        return self._fields[1]

    @replica.setter
    def replica(self, replica: int | None) -> None:
        self._put(1, _int(replica))

    @property
    def task(self) -> int | None:
        """Task number, or None."""
        return self._fields[2]

    @task.setter
    def task(self, task: int | None) -> None:
        self._put(2, _int(task))

    @property
    def device_type(self) -> str | None:
        """Device type such as "GPU", or None."""
        return self._fields[3]

    @device_type.setter
    def device_type(self, device_type: str | None) -> None:
        self._put(3, None if device_type is None else _upper_type(str(device_type)))

    @property
    def device_index(self) -> int | None:
        """Device index, or None for any."""
        return self._fields[4]

    @device_index.setter
    def device_index(self, device_index: int | None) -> None:
        self._put(4, _int(device_index))

    def parse_from_string(self, spec: str | None) -> Self:
        """Replace every field by what `spec` says; returns this object."""
        self._set(_parse(spec))
        return self

    def merge_from(self, dev: DeviceSpecV2) -> None:
        """Take over, in place, the fields that `dev` sets."""
        self._set(self.make_merged_spec(dev)._fields)


# What tf.compat.v1, and so tfsession, calls DeviceSpec.
DeviceSpec = DeviceSpecV1


@lru_cache(maxsize=4096)
def _canonical_text(text: str) -> str:
    return _format(_parse(text))


def canonical(device: str | DeviceSpecV2 | None) -> str:
    """Canonical text of a device text or spec; "" for None. Errors are the grammar's."""
    if isinstance(device, str):
        return _canonical_text(device)
    spec: Any = device  # TensorFlow's own DeviceSpec has to_string too; the parser refuses the rest
    return str(spec.to_string()) if hasattr(spec, "to_string") else _format(_parse(spec))


def fields_of(device: str | DeviceSpecV2 | None) -> DeviceFields:
    """What a device text or spec says; nothing at all when its text is empty.

    A spec may hold an index without a type, which no text shows: merged with a type, it counts.
    Errors are the grammar's.
    """
    text = canonical(device)
    return device._fields if text and isinstance(device, DeviceSpecV2) else _parse(text)


@lru_cache(maxsize=4096)
def _as_requested(text: str) -> str:
    readable = _canonical_text(text)
    return text if parse_device_name(text) == parse_device_name(readable) else readable


def as_requested(device: Any) -> str:
    """The text of a device that replaces another as a whole, as it was spelled.

    Where the runtime would read it in another way, or not at all ("gpu:0", "/cpu"), it is made
    canonical.

    Raises:
        TypeError: neither text nor a spec.
        ValueError: not a device.
    """
    if hasattr(device, "to_string"):
        return str(device.to_string())
    if isinstance(device, bytes):
        device = device.decode()
    if not isinstance(device, str):
        raise TypeError(f"Expected binary or unicode string, got {device!r}")
    return _as_requested(device)


@lru_cache(maxsize=16384)
def merge(base: str | DeviceFields, over: str) -> str:
    """Canonical text of `base` with every field that `over` sets put in its place."""
    fields = base if isinstance(base, tuple) else _parse(base)
    return _format(_overlay(fields, _parse(over)))


class DeviceName(NamedTuple):
    """A device name as the runtime reads it; None stands for any."""

    job: str | None = None
    replica: int | None = None
    task: int | None = None
    device_type: str | None = None
    device_index: int | None = None

    def matches(self, device: DeviceName) -> bool:
        """Whether the complete name `device` is one of those that this name stands for."""
        return all(mine is None or mine == its for mine, its in zip(self, device, strict=True))

    def to_string(self) -> str:
        """Canonical text; an index without a type is left out."""
        return _format(self)


_RUNTIME_PART = re.compile(
    r"""/(?: job:(?P<job>\*|[a-zA-Z][a-zA-Z0-9_]*)
          | replica:(?P<replica>\*|[0-9]+)
          | task:(?P<task>\*|[0-9]+)
          | device:(?P<type>\*|[a-zA-Z][a-zA-Z0-9_]*)(?::(?P<index>\*|[0-9]+))?
          | (?P<legacy>cpu|CPU|gpu|GPU):(?P<legacy_index>\*|[0-9]+) )(?=/|\Z)""",
    re.VERBOSE,
)
_LOCAL_NAME = re.compile(r"([a-zA-Z][a-zA-Z0-9_]*):([0-9]+)\Z")


def _number(digits: str) -> int | None:
    """The runtime reads 64 bits and keeps the low 32, signed; ValueError beyond 64."""
    if digits == "*":
        return None
    value = int(digits)
    if value >= 1 << 64:
        raise ValueError(digits)
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def _any(text: str) -> str | None:
    return None if text == "*" else text


@lru_cache(maxsize=4096)
def parse_device_name(text: str, local: bool = False) -> DeviceName | None:
    """The runtime's strict reading of an op's device; None where it is malformed.

    A type is taken as it is spelled, except after the short "/cpu:" and "/gpu:". `local` also
    accepts "CPU:0", as feeds and fetches of a callable may name a device; an op may not.
    """
    try:
        return _parse_runtime(text, local)
    except ValueError:
        return None


def _parse_runtime(text: str, local: bool) -> DeviceName | None:
    if text in ("", "/"):
        return DeviceName()
    if local and (found := _LOCAL_NAME.match(text)):
        device_type = _upper_type(found[1])
        return DeviceName(device_type=device_type, device_index=_number(found[2]))
    name = DeviceName()
    at = 0
    while at < len(text):
        part = _RUNTIME_PART.match(text, at)
        if part is None:
            return None
        at = part.end()
        if part["job"]:
            name = name._replace(job=_any(part["job"]))
        elif part["replica"]:
            name = name._replace(replica=_number(part["replica"]))
        elif part["task"]:
            name = name._replace(task=_number(part["task"]))
        elif part["type"]:
            name = name._replace(
                device_type=_any(part["type"]), device_index=_number(part["index"] or "*")
            )
        else:
            name = name._replace(
                device_type=part["legacy"].upper(), device_index=_number(part["legacy_index"])
            )
    return name
