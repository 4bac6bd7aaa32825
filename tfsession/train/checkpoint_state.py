"""Which checkpoints a directory holds: the file `checkpoint` in it, and the files of each."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfsession.checkpoint import bundle_files
from tfsession.core import protos
from tfsession.core.errors import NotFoundError
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.verbosity import error as log_error
from tfsession.core.verbosity import info, warning

_STATE_FILE = "checkpoint"
_SHARD = re.compile(r"-[\d\?]+-of-\d+$")
V2 = 2


def state_file(directory: Any, latest_filename: str | None = None) -> str:
    """The path of the file that names a directory's checkpoints."""
    return os.path.join(os.fspath(directory), latest_filename or _STATE_FILE)  # noqa: PTH118


def meta_graph_file(checkpoint: str, suffix: str = "meta") -> str:
    """The path of the MetaGraphDef beside a checkpoint."""
    return f"{_SHARD.sub('', checkpoint)}.{suffix}"


@export("train.generate_checkpoint_state_proto")
def generate_checkpoint_state_proto(
    save_dir: str,
    model_checkpoint_path: str,
    all_model_checkpoint_paths: Sequence[str] | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> Any:
    """A CheckpointState: the latest checkpoint of a directory, and all that it holds.

    Args:
        save_dir: the directory; where it is relative, so are the paths in the message, to it.
        model_checkpoint_path: the latest checkpoint.
        all_model_checkpoint_paths: all of them, the oldest first; the latest is added if need be.
        all_model_checkpoint_timestamps: when each was written, in seconds since 1970.
        last_preserved_timestamp: when the last one was written that is to be kept.

    Raises:
        ValueError: there are not as many times as checkpoints.
    """
    paths = list(all_model_checkpoint_paths or [])
    if not paths or paths[-1] != model_checkpoint_path:
        info("%s is not in all_model_checkpoint_paths. Manually adding it.", model_checkpoint_path)
        paths.append(model_checkpoint_path)
    times = all_model_checkpoint_timestamps
    if times and len(times) != len(paths):
        raise ValueError(
            "Checkpoint timestamps, if provided, must match checkpoint paths (got paths "
            f"{paths} and timestamps {times})"
        )
    latest = model_checkpoint_path
    if not Path(save_dir).is_absolute():
        latest = _relative(latest, save_dir)
        paths = [_relative(path, save_dir) for path in paths]
    return protos.CheckpointState(
        model_checkpoint_path=latest,
        all_model_checkpoint_paths=paths,
        all_model_checkpoint_timestamps=times,
        last_preserved_timestamp=last_preserved_timestamp,
    )


def _relative(path: str, directory: str) -> str:
    return path if Path(path).is_absolute() else os.path.relpath(path, directory or ".")


@export("train.update_checkpoint_state")
def update_checkpoint_state(
    save_dir: str,
    model_checkpoint_path: str,
    all_model_checkpoint_paths: Sequence[str] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Write a directory's state file; see `generate_checkpoint_state_proto`.

    Raises:
        RuntimeError: the state file has the name of the checkpoint.
    """
    write_state(
        save_dir, model_checkpoint_path, all_model_checkpoint_paths, latest_filename,
        times=all_model_checkpoint_timestamps, last_preserved=last_preserved_timestamp,
    )  # fmt: skip


def write_state(
    save_dir: str,
    latest: str,
    paths: Sequence[str] | None = None,
    latest_filename: str | None = None,
    *,
    is_relative: bool = False,
    times: Sequence[float] | None = None,
    last_preserved: float | None = None,
) -> None:
    """As `update_checkpoint_state`; `is_relative` writes all paths relative to the directory."""
    target = state_file(save_dir, latest_filename)
    if is_relative:
        latest = _within(latest, save_dir)
        paths = [_within(path, save_dir) for path in paths or []]
    state = generate_checkpoint_state_proto(save_dir, latest, paths, times, last_preserved)
    if target == state.model_checkpoint_path:
        raise RuntimeError(
            f"Save path '{latest}' conflicts with path used for checkpoint state.  Please use a "
            "different save path."
        )
    write_whole(target, protos.text_format.MessageToString(state).encode())


def _within(path: str, directory: str) -> str:
    return os.path.relpath(path, directory) if Path(path).is_absolute() else path


def write_whole(name: str, data: bytes) -> None:
    """Write a file so that there is always the old one or the new one, never a part of one."""
    with bundle_files.written_aside(local_path(name)) as written:
        Path(written).write_bytes(data)


@export("train.get_checkpoint_state")
def get_checkpoint_state(checkpoint_dir: Any, latest_filename: str | None = None) -> Any:
    """The CheckpointState in a directory, with its paths made whole; None where there is none.

    Raises:
        ValueError: it names no checkpoint.
    """
    directory = os.fspath(checkpoint_dir)
    path = Path(local_path(state_file(directory, latest_filename)))
    try:
        state = protos.parsed_text(protos.CheckpointState, path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, protos.text_format.ParseError, UnicodeDecodeError) as error:
        warning("%s: %s", type(error).__name__, error)
        warning("%s: Checkpoint ignored", path)
        return None
    if not state.model_checkpoint_path:
        raise ValueError(f"Invalid checkpoint state loaded from {directory}")
    state.model_checkpoint_path = _joined(directory, state.model_checkpoint_path)
    state.all_model_checkpoint_paths[:] = [
        _joined(directory, path) for path in state.all_model_checkpoint_paths
    ]
    return state


def _joined(directory: str, path: str) -> str:
    return os.path.join(directory, path)  # noqa: PTH118 (Path drops "./")


@export("train.latest_checkpoint")
def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """The name of the latest checkpoint in a directory; None where there is none."""
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is not None and state.model_checkpoint_path:
        path: str = state.model_checkpoint_path
        if checkpoint_exists(path):
            return path
        log_error("Couldn't match files for checkpoint %s", path)
    return None


def _matching(prefix: str) -> list[str]:
    """The files that show that there is a checkpoint: an index, or those of the first format."""
    path = local_path(prefix)
    index = bundle_files.index_name(path)
    current = bundle_files.current(index, path)
    return _found(current) or _found(path)


def _found(pattern: str) -> list[str]:
    if os.path.isfile(pattern):  # noqa: PTH113 (a file's own name may hold wildcards)
        return [pattern]
    return sorted(filter(os.path.isfile, glob.glob(pattern)))  # noqa: PTH207


@export("train.checkpoint_exists")
def checkpoint_exists(checkpoint_prefix: str) -> bool:
    """Whether there is a checkpoint of that name, of either format."""
    return bool(_matching(checkpoint_prefix))


@export("train.get_checkpoint_mtimes")
def get_checkpoint_mtimes(checkpoint_prefixes: Sequence[str]) -> list[float]:
    """When those checkpoints that are there were written, in seconds since 1970."""
    found = [_matching(prefix) for prefix in checkpoint_prefixes]
    with file_errors():
        return [Path(files[0]).stat().st_mtime_ns / 1e9 for files in found if files]


@export("train.remove_checkpoint")
def remove_checkpoint(
    checkpoint_prefix: str, checkpoint_format_version: int = V2, meta_graph_suffix: str = "meta"
) -> None:
    """Delete a checkpoint's files, and the MetaGraphDef beside it."""
    prefix = local_path(checkpoint_prefix)
    names = [meta_graph_file(prefix, meta_graph_suffix)]
    if checkpoint_format_version == V2:
        names.append(bundle_files.index_name(prefix))
        names += glob.glob(f"{glob.escape(prefix)}.data-?????-of-?????")  # noqa: PTH207
    else:
        names += _found(prefix)
    with file_errors():
        for name in names:
            Path(name).unlink(missing_ok=True)


def times_of(prefixes: Sequence[str]) -> list[tuple[str, float]]:
    """Those checkpoints that are there, each with the time when it was written."""
    found = []
    for prefix in prefixes:
        with contextlib.suppress(NotFoundError):
            found += [(prefix, time) for time in get_checkpoint_mtimes([prefix])]
    return found
