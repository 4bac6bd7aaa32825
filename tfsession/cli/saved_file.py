"""Which of all the kinds of files a path names, told by what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from tfsession.checkpoint.reader import open_checkpoint
from tfsession.core import protos
from tfsession.core.errors import DataLossError, NotFoundError, OpError
from tfsession.core.graph_file import read_message
from tfsession.core.records import RecordReader
from tfsession.train.checkpoint_state import checkpoint_exists, latest_checkpoint

TENSORS, EVENTS = "tensors", "events"

_DATA: Final = re.compile(r"(.+)\.data-\d{5}-of-\d{5}", re.S)
_INDEX: Final = ".index"
_TABLE_MAGIC: Final = 0xDB4775248B80FB57.to_bytes(8, "little")
_STATE_FILE: Final = "checkpoint"


class SavedFile(NamedTuple):
    """What a path names.

    Attributes:
        kind: TENSORS, EVENTS, or the name of the message.
        path: where it is: of a checkpoint, its name.
        value: the reader of tensors, the message; None for events.
    """

    kind: str
    path: str
    value: Any


def open_saved(name: str) -> SavedFile:
    """Find out what a path names, and open it.

    Args:
        name: a file, a directory, or the name of a checkpoint.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none of the kinds that are known.
        OpError: it is damaged.
    """
    path = Path(name)
    if path.is_dir():
        return _in_directory(path)
    if not path.is_file():
        if checkpoint_exists(name):
            return _tensors(name)
        raise FileNotFoundError(2, "no such file, directory or checkpoint", name)
    part = _DATA.fullmatch(name)
    if part is not None and checkpoint_exists(part[1]):
        return _tensors(part[1])
    with path.open("rb") as file:
        head = file.read(64)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_TABLE_MAGIC)))
        is_table = file.read() == _TABLE_MAGIC
    if is_table and name.endswith(_INDEX):
        return _tensors(name.removesuffix(_INDEX))
    if is_table or head[8:9] == b"{" or head.startswith(b"PK"):
        return _tensors(name)
    if _are_events(name):
        return SavedFile(EVENTS, name, None)
    if head.startswith(b"model_checkpoint_path"):
        return _in_directory(path.parent)
    try:
        message, kind = read_message(path)
    except RecursionError:
        raise ValueError("its messages are nested too deeply") from None
    return SavedFile(kind, name, message)


def _tensors(name: str) -> SavedFile:
    return SavedFile(TENSORS, name, open_checkpoint(name))


def _in_directory(path: Path) -> SavedFile:
    if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
        message, kind = read_message(path)
        return SavedFile(kind, str(path), message)
    if (path / _STATE_FILE).is_file():
        found = latest_checkpoint(str(path))
        if found is None:
            raise ValueError("its file `checkpoint` names no checkpoint that is there")
        return _tensors(found)
    names = sorted(one.name for one in path.iterdir())
    indices = [name for name in names if name.endswith(_INDEX)]
    if len(indices) == 1:
        return _tensors(str(path / indices[0].removesuffix(_INDEX)))
    events = [name for name in names if "tfevents" in name]
    hint = f"; of its event files the last is {events[-1]}" if events else ""
    raise ValueError(f"the directory holds neither a saved_model.pb nor a file `checkpoint`{hint}")


def _are_events(name: str) -> bool:
    """Whether the first record of a file is an event; ValueError for records of another kind."""
    try:
        with RecordReader(name) as records:
            data = records.read()
    except (DataLossError, NotFoundError):
        return False
    if data is None:
        return False
    try:
        event = protos.Event.FromString(data)
    except protos.DecodeError:
        event = protos.Event()
    if event.wall_time <= 0 or event.WhichOneof("what") is None:
        raise ValueError("it is a file of records (TFRecord), but not of events")
    return True


def told(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, OpError):
        text = error.message or type(error).__name__
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error) or type(error).__name__
    return text.strip().split("\n")[0]
