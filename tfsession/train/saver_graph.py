"""The part of a graph that saves and restores, under the names that TensorFlow gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfsession.core import protos
from tfsession.core.device_spec import DeviceSpecV2
from tfsession.graph.create import create_op, create_operation
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import (
    constant,
    group,
    identity,
    placeholder_with_default,
    with_dependencies,
)
from tfsession.ops.saveable import SaveableObject, SaveSpec, saveables_by_name, saveables_of
from tfsession.ops.shape import shape as shape_of

V1, V2 = 1, 2


class SaverBuilder:
    """Adds the operations of a Saver to the default graph.

    Args:
        write_version: the format of the checkpoints, `tf.train.SaverDef.V2` or `V1`.

    Raises:
        RuntimeError: `write_version` is neither.
    """

    SaveSpec = SaveSpec
    SaveableObject = SaveableObject

    def __init__(self, write_version: int = V2) -> None:
        if write_version not in (V1, V2):
            raise RuntimeError(f"Unexpected write_version: {write_version}")
        self._write_version = write_version

    def build(
        self,
        names_to_saveables: Any,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        filename: str = "model",
    ) -> Any:
        """The SaverDef of new operations.

        Args:
            names_to_saveables: variables and other savables in a list, or by their names.
            reshape: give restored tensors the shapes of the variables.
            sharded: write one data file for each device.
            max_to_keep: kept in the SaverDef.
            keep_checkpoint_every_n_hours: kept in the SaverDef.
            name: name scope of the operations.
            restore_sequentially: no effect: one operation restores all.
            filename: what the placeholder of the checkpoint's name gives by default.

        Raises:
            TypeError: something that cannot be saved.
            ValueError: two of one name.
        """
        named = names_to_saveables
        saveables = saveables_of(named if isinstance(named, Mapping) else saveables_by_name(named))
        graph = get_default_graph()
        with graph.name_scope(name or "save"):
            prefix = placeholder_with_default(filename or "model", shape=(), name="filename")
            prefix = placeholder_with_default(prefix, shape=(), name="Const")
            if sharded:
                devices = _by_device(saveables)
                save = self._save_shards(prefix, devices)
                restore = _restore_shards(prefix, devices, reshape)
            else:
                save = self._save(prefix, saveables)
                restore = _restore(prefix, saveables, reshape, "restore_all")
        return protos.SaverDef(
            filename_tensor_name=prefix.name,
            save_tensor_name=save.name,
            restore_op_name=restore.name,
            max_to_keep=max_to_keep,
            sharded=sharded,
            keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
            version=self._write_version,
        )

    def _save(self, prefix: Tensor, saveables: Sequence[SaveableObject]) -> Tensor:
        """The name of the checkpoint, once it is written."""
        specs = [spec for saveable in saveables for spec in saveable.specs]
        names, slices = [spec.name for spec in specs], [spec.slice_spec for spec in specs]
        inputs = [prefix, names, slices, [spec.tensor for spec in specs]]
        if self._write_version == V2:
            saved = create_operation("SaveV2", inputs)
        else:
            saved = create_operation("SaveSlices", inputs, name="save")
        return with_dependencies([saved], prefix)

    def _save_shards(
        self, prefix: Tensor, devices: Sequence[tuple[str, list[SaveableObject]]]
    ) -> Tensor:
        graph = get_default_graph()
        if self._write_version == V2:
            with graph.device("CPU"):
                target = _beside(prefix)
        else:
            target = prefix
        count = constant(len(devices), name="num_shards")
        names, saves, last = [], [], ""
        for shard, (device, saveables) in enumerate(devices):
            last = _on_cpu(device) if self._write_version == V2 else device
            with graph.device(last):
                names.append(create_op("ShardedFilename", [target, shard, count]))
                saves.append(self._save(names[-1], saveables))
        with graph.control_dependencies([save.op for save in saves]):
            if self._write_version != V2:
                return create_op("ShardedFilespec", [target, count])
            with graph.device(last):
                merged = create_operation("MergeV2Checkpoints", [names, prefix])
                with graph.control_dependencies([merged]):
                    return identity(prefix)


def _beside(prefix: Tensor) -> Tensor:
    """Where shards wait to be merged: a directory beside the checkpoint."""
    is_remote = create_op("StaticRegexFullMatch", [prefix], {"pattern": "^s3://.*"})
    suffixes = [constant(".part"), constant(str(Path("_temp/part")))]
    suffix = create_op("Select", [is_remote, *suffixes])
    joined: Tensor = create_op("StringJoin", [[prefix, suffix]])
    return joined


def _restore(
    prefix: Tensor, saveables: Sequence[SaveableObject], reshape: bool, name: str
) -> Operation:
    specs = [spec for saveable in saveables for spec in saveable.specs]
    names, slices = [spec.name for spec in specs], [spec.slice_spec for spec in specs]
    attrs = {"dtypes": [spec.dtype for spec in specs]}
    with get_default_graph().device("/device:CPU:0"):
        tensors = create_op("RestoreV2", [prefix, names, slices], attrs)
    assigned, place = [], 0
    for saveable in saveables:
        count = len(saveable.specs)
        shapes = [_shape(spec.tensor) for spec in saveable.specs] if reshape else None
        assigned.append(saveable.restore(tensors[place : place + count], shapes))
        place += count
    return group(*assigned, name=name)


def _shape(tensor: Any) -> Any:
    static = tensor.get_shape()
    return static if static.is_fully_defined() else shape_of(tensor)


def _restore_shards(
    prefix: Tensor, devices: Sequence[tuple[str, list[SaveableObject]]], reshape: bool
) -> Operation:
    graph = get_default_graph()
    restored = []
    for device, saveables in devices:
        with graph.device(device):
            restored.append(_restore(prefix, saveables, reshape, "restore_shard"))
    return group(*restored, name="restore_all")


def _by_device(saveables: Sequence[SaveableObject]) -> list[tuple[str, list[SaveableObject]]]:
    found: dict[str, list[SaveableObject]] = {}
    for saveable in saveables:
        devices = {_canonical(spec.device) for spec in saveable.specs}
        if len(devices) != 1:
            raise ValueError(
                f"All tensors of a saveable object must be on the same device: {saveable.name}"
            )
        found.setdefault(devices.pop(), []).append(saveable)
    return sorted(found.items())


def _canonical(device: str | None) -> str:
    return DeviceSpecV2.from_string(device or "").to_string()


def _on_cpu(device: str) -> str:
    """The first CPU of the device's machine."""
    spec = DeviceSpecV2.from_string(device)
    return spec.replace(device_type="CPU", device_index=0).to_string()
