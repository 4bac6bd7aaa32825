"""`tf.train.Saver`: variables to checkpoints and back, and the checkpoints that are kept."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfsession.checkpoint.bundle_files import discard_shards
from tfsession.core import protos
from tfsession.core.errors import InvalidArgumentError, NotFoundError, OpError
from tfsession.core.exports import export
from tfsession.core.verbosity import info, warning
from tfsession.graph.collection_protos import CollectionProto, collection_protos
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.saveable import all_saveable_objects
from tfsession.train import meta_graph
from tfsession.train.checkpoint_state import (
    checkpoint_exists,
    meta_graph_file,
    remove_checkpoint,
    times_of,
    write_state,
)
from tfsession.train.object_checkpoint import by_key, object_graph_key_mapping
from tfsession.train.progress_bar import shown
from tfsession.train.saver_graph import V2, SaverBuilder
from tfsession.train.step_counter import global_step as value_of_step

_STATE_FILE = "checkpoint"
_HOUR = 3600


@export("train.Saver")
class Saver:
    """Writes variables to checkpoints, reads them back, and deletes old checkpoints.

    The operations for it are made when the Saver is, for the variables that there are then.

    Args:
        var_list: variables and other savables in a list, or by the names under which checkpoints
            hold them; all global variables when None.
        reshape: restored tensors may have other shapes of as many elements.
        sharded: write one data file for each device, in parallel.
        max_to_keep: how many checkpoints to keep; None or 0 keeps all.
        keep_checkpoint_every_n_hours: keep one for each such time, whatever `max_to_keep` says.
        name: name scope of the operations.
        restore_sequentially: no effect: one operation restores all.
        saver_def: a SaverDef of operations that there are, instead of new ones.
        builder: makes the operations; a `SaverBuilder` when None.
        defer_build: `build` is called later, when all variables are there.
        allow_empty: do nothing when there is nothing to save.
        write_version: the format to write, `tf.train.SaverDef.V2` or `V1`; both are read.
        pad_step_number: write the step with eight digits.
        save_relative_paths: write paths relative to the directory of the state file.
        filename: what the placeholder of the checkpoint's name gives by default.

    Raises:
        TypeError: `var_list` holds what cannot be saved.
        ValueError: nothing to save, two variables of one name, or an incomplete `saver_def`.
        RuntimeError: `write_version` is neither format.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: Any = None,
        builder: Any = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
    ) -> None:
        if defer_build and var_list:
            raise ValueError(
                "If `var_list` is provided then build cannot be deferred. Either set "
                "defer_build=False or var_list=None."
            )
        self._var_list = var_list
        self._reshape = reshape
        self._sharded = sharded
        self._max_to_keep = max_to_keep or 0
        self._hours = keep_checkpoint_every_n_hours
        self._name = name
        self._sequentially = restore_sequentially
        self.saver_def = None if saver_def is None else _coerced(saver_def)
        self._builder = builder
        self._is_built = False
        self._is_empty = False
        self._allow_empty = allow_empty
        self._write_version = write_version
        self._pad_step_number = pad_step_number
        self._save_relative_paths = save_relative_paths
        self._filename = filename
        # The oldest first, each with the time when it was written.
        self._last_checkpoints: list[tuple[str, float]] = []
        self._to_delete: list[tuple[str, float]] = []
        self._next_to_keep = math.inf
        self._object_saver: Saver | None = None
        if not defer_build:
            self.build()

    def build(self) -> None:
        """Make the operations; called by the constructor unless that was deferred.

        Raises:
            ValueError: nothing to save.
        """
        if self._is_built:
            return
        self._is_built = True
        if self.saver_def is None:
            if self._var_list is None:
                self._var_list = all_saveable_objects()
            if not self._var_list:
                if not self._allow_empty:
                    raise ValueError("No variables to save")
                self._is_empty = True
                return
            builder = self._builder or SaverBuilder(self._write_version)
            self.saver_def = builder.build(
                self._var_list,
                reshape=self._reshape,
                sharded=self._sharded,
                max_to_keep=self._max_to_keep,
                keep_checkpoint_every_n_hours=self._hours,
                name=self._name,
                restore_sequentially=self._sequentially,
                filename=self._filename,
            )
        elif self._name:
            # What made it, imported under a name scope.
            for field in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
                name = getattr(self.saver_def, field)
                setattr(self.saver_def, field, f"{self._name}/{name}")
        self._check_saver_def()
        self._write_version = self.saver_def.version
        self._next_to_keep = time.time() + self.saver_def.keep_checkpoint_every_n_hours * _HOUR

    def _check_saver_def(self) -> None:
        if not self.saver_def.save_tensor_name:
            raise ValueError(f"saver_def must specify the save_tensor_name: {self.saver_def}")
        if not self.saver_def.restore_op_name:
            raise ValueError(f"saver_def must specify the restore_op_name: {self.saver_def}")

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoints that are kept by number, the oldest first."""
        return [name for name, _ in self._last_checkpoints]

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Take these for what was written before, the oldest first; they are kept for ever."""
        _check_list(last_checkpoints)
        self._last_checkpoints = [(name, math.inf) for name in last_checkpoints]

    def set_last_checkpoints_with_time(
        self, last_checkpoints_with_time: list[tuple[str, float]]
    ) -> None:
        """Take these for what was written before, each with its time in seconds since 1970."""
        _check_list(last_checkpoints_with_time)
        self._last_checkpoints = list(last_checkpoints_with_time)

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[str]) -> None:
        """Go on where another Saver ended: take those of the checkpoints that are there."""
        self.set_last_checkpoints_with_time(times_of(list(checkpoint_paths)))

    def save(
        self,
        sess: Any,
        save_path: str,
        global_step: Any = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
        *,
        progress: bool | Callable[[int, int], None] = False,
    ) -> str | None:
        """Write a checkpoint, which replaces one of its name only when all of it is there.

        Args:
            sess: the session that holds the variables.
            save_path: name of the checkpoint; its directory is made.
            global_step: a number, or a tensor of it, to append to the name.
            latest_filename: name of the state file, `checkpoint` when None.
            meta_graph_suffix: of the file for the MetaGraphDef.
            write_meta_graph: write that file.
            write_state: write the state file, and delete old checkpoints.
            strip_default_attrs: leave out of the graph what is the default.
            save_debug_info: no effect.
            progress: show a bar on standard error while the files are written; a function is
                called instead, with the bytes done and the bytes in all, from any thread.

        Returns:
            The name of the checkpoint, with the step; None when there was nothing to save.

        Raises:
            TypeError: `sess` is no session.
            ValueError: the state file would collide with the checkpoint, or has a directory.
            RuntimeError: the operations are still to be built.
        """
        if not self._is_built:
            raise RuntimeError("`build()` should be called before save if defer_build==True")
        latest_filename = latest_filename or _STATE_FILE
        save_path = os.fspath(save_path)
        if os.path.split(latest_filename)[0]:
            raise ValueError("'latest_filename' must not contain path components")
        if Path(save_path).name == latest_filename and global_step is None and not self._sharded:
            raise ValueError(
                f"'latest_filename' collides with 'save_path': '{latest_filename}' and "
                f"'{save_path}'"
            )
        _check_session(sess)
        checkpoint = self._numbered(sess, save_path, global_step)
        saved = None
        if not self._is_empty:
            saver_def = self.saver_def
            feeds = {saver_def.filename_tensor_name: checkpoint}
            try:
                with shown(progress, "Saving", checkpoint):
                    saved = os.fsdecode(sess.run(saver_def.save_tensor_name, feeds))
            except BaseException:
                discard_shards(checkpoint)
                raise
            if saver_def.sharded:
                # What a process has left that was killed while it saved to this name.
                discard_shards(checkpoint, is_abandoned=True)
        if write_meta_graph:
            with sess.graph.as_default():
                self.export_meta_graph(
                    meta_graph_file(checkpoint, meta_graph_suffix),
                    strip_default_attrs=strip_default_attrs,
                )
        if saved is not None and write_state:  # when all is there that it names
            self._record(saved, os.path.dirname(save_path), latest_filename)  # noqa: PTH120
            self._delete_old(meta_graph_suffix)
        return saved

    def _numbered(self, sess: Any, save_path: str, step: Any) -> str:
        if step is None:
            return save_path
        is_number = isinstance(step, int | np.integer)
        number = int(step) if is_number else value_of_step(sess, step)
        return f"{save_path}-{number:08d}" if self._pad_step_number else f"{save_path}-{number}"

    def _record(self, saved: str, directory: str, latest_filename: str) -> None:
        """Write down the newest checkpoint, and which one there is now no room for."""
        if self.saver_def.max_to_keep:
            others = [one for one in self._last_checkpoints if one[0] != saved]
            self._last_checkpoints = [*others, (saved, time.time())]
            if len(self._last_checkpoints) > self.saver_def.max_to_keep:
                self._to_delete.append(self._last_checkpoints.pop(0))
        write_state(
            directory, saved, self.last_checkpoints, latest_filename,
            is_relative=self._save_relative_paths,
        )  # fmt: skip

    def _delete_old(self, meta_graph_suffix: str) -> None:
        if not self._to_delete:
            return
        name, written = self._to_delete.pop(0)
        if written > self._next_to_keep:
            self._next_to_keep += self.saver_def.keep_checkpoint_every_n_hours * _HOUR
            return
        try:
            remove_checkpoint(name, self.saver_def.version, meta_graph_suffix)
        except OpError as error:
            warning("Ignoring: %s", error)

    def restore(
        self,
        sess: Any,
        save_path: str,
        *,
        progress: bool | Callable[[int, int], None] = False,
    ) -> None:
        """Give variables the values of a checkpoint; they need not be initialized.

        Args:
            sess: the session that holds the variables.
            save_path: name of the checkpoint.
            progress: show how far it is, as in `save`.

        Raises:
            ValueError: there is no such checkpoint.
            NotFoundError: the checkpoint lacks a variable.
            InvalidArgumentError: a variable has another dtype or shape there.
            DataLossError: a file is damaged.
        """
        if self._is_empty:
            return
        if save_path is None:
            raise ValueError("Can't load save_path when it is None.")
        save_path = os.fsdecode(save_path)
        if not checkpoint_exists(save_path):
            raise ValueError(f"The passed save_path is not a valid checkpoint: {save_path}")
        info("Restoring parameters from %s", save_path)
        saver_def = self.saver_def
        try:
            with shown(progress, "Restoring", save_path):
                sess.run(saver_def.restore_op_name, {saver_def.filename_tensor_name: save_path})
        except NotFoundError as error:
            self._restore_objects(sess, save_path, error)
        except InvalidArgumentError as error:
            raise _explained(error, "a mismatch between the current graph and the graph") from error

    def _restore_objects(self, sess: Any, save_path: str, failure: NotFoundError) -> None:
        """Restore a checkpoint of objects, whose keys are others: by another Saver, made once."""
        try:
            names_to_keys = object_graph_key_mapping(save_path)
        except NotFoundError:
            cause = "a Variable name or other graph key that is missing"
            raise _explained(failure, cause) from failure
        warning(
            "Restoring an object-based checkpoint by the names of variables: %s. New operations "
            "are made for it.",
            save_path,
        )
        if self._object_saver is None:
            with sess.graph.as_default():
                self._object_saver = Saver(by_key(self._var_list, names_to_keys))
        self._object_saver.restore(sess, save_path)

    def as_saver_def(self) -> Any:
        """The SaverDef."""
        return self.saver_def

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The SaverDef, without a name scope; None for a Saver outside of that scope."""
        if not export_scope:
            return self.saver_def
        prefix = export_scope.rstrip("/") + "/"
        stripped = protos.SaverDef()
        stripped.CopyFrom(self.saver_def)
        for field in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
            name = getattr(stripped, field)
            if not name.startswith(prefix):
                return None
            setattr(stripped, field, name.removeprefix(prefix))
        return stripped

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """The Saver of a SaverDef whose operations were imported under `import_scope`."""
        return Saver(saver_def=saver_def, name=import_scope)

    def export_meta_graph(
        self,
        filename: str | None = None,
        collection_list: list[str] | None = None,
        as_text: bool = False,
        export_scope: str | None = None,
        clear_devices: bool = False,
        clear_extraneous_savers: bool = False,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> Any:
        """The MetaGraphDef of the default graph with this Saver: `tf.train.export_meta_graph`."""
        return meta_graph.export_meta_graph(
            filename,
            saver_def=self.saver_def,
            collection_list=collection_list,
            as_text=as_text,
            export_scope=export_scope,
            clear_devices=clear_devices,
            clear_extraneous_savers=clear_extraneous_savers,
            strip_default_attrs=strip_default_attrs,
        )


def _check_session(sess: Any) -> None:
    if isinstance(sess, type) or not (hasattr(sess, "run") and hasattr(sess, "graph")):
        raise TypeError(f"'sess' must be a Session; {sess}")


def _check_list(checkpoints: Any) -> None:
    if not isinstance(checkpoints, list):
        raise AssertionError(f"The last checkpoints must be in a list, not {checkpoints!r}")


def _coerced(saver_def: Any) -> Any:
    try:
        return protos.coerce(saver_def, protos.SaverDef)
    except TypeError:
        raise ValueError(f"saver_def must be a saver_pb2.SaverDef: {saver_def}") from None


def _explained(error: OpError, cause: str) -> OpError:
    message = (
        f"Restoring from checkpoint failed. This is most likely due to {cause} from the "
        "checkpoint. Please ensure that you have not altered the graph expected based on the "
        f"checkpoint. Original error:\n\n{error.message}"
    )
    return type(error)(error.node_def, error.op, message)


@export("train.import_meta_graph")
def import_meta_graph(
    meta_graph_or_file: Any,
    clear_devices: bool = False,
    import_scope: str | None = None,
    **kwargs: Any,
) -> Saver | None:
    """Add a saved graph with its collections to the default graph.

    Args:
        meta_graph_or_file: a MetaGraphDef, or the path of a file that holds one.
        clear_devices: forget where operations were placed.
        import_scope: name scope to put everything in.
        **kwargs: `input_map` and `return_elements`, as those of `tf.import_graph_def`.

    Returns:
        A Saver for the imported variables; None where there are none.

    Raises:
        OSError: there is no such file, or no graph in it.
        ValueError: the graph is not valid.
    """
    message, scope, _ = meta_graph.import_into_graph(
        meta_graph_or_file, clear_devices, import_scope, **kwargs
    )
    return saver_of(message, scope)


def saver_of(message: Any, scope: str) -> Saver | None:
    """The Saver of a MetaGraphDef that was imported under `scope`, or one for its variables."""
    if message.HasField("saver_def"):
        return Saver(saver_def=message.saver_def, name=scope)
    if all_saveable_objects():
        return Saver()
    info("Saver not created because there are no variables in the graph to restore")
    return None


collection_protos[GraphKeys.SAVERS] = CollectionProto("SaverDef", Saver.to_proto, Saver.from_proto)
