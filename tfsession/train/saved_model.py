"""SavedModels: a directory with graphs, their variables, their signatures and files they read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tfsession.checkpoint.bundle_files import written_aside
from tfsession.core import protos
from tfsession.core.dtypes import string
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.verbosity import info
from tfsession.graph.collection_protos import within_scope
from tfsession.graph.constant_value import constant_value
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import group
from tfsession.ops.lookup import tables_initializer
from tfsession.ops.saveable import all_saveable_objects
from tfsession.ops.variables import global_variables_initializer, local_variables_initializer
from tfsession.train.checkpoint_state import write_whole
from tfsession.train.meta_graph import import_into_graph
from tfsession.train.saver import Saver, saver_of
from tfsession.train.signature_def import predict_signature_def

_PB: Final = "saved_model.pb"
_PBTXT: Final = "saved_model.pbtxt"
_VARIABLES: Final = "variables/variables"
_ASSETS: Final = "assets"
_ASSETS_KEY: Final = "saved_model_assets"
_MAIN_OP: Final = "saved_model_main_op"
_LEGACY_INIT_OP: Final = "legacy_init_op"
# Signatures that name an operation and no tensors.
_INIT_SIGNATURE: Final = "__saved_model_init_op"
_RESERVED: Final = (_INIT_SIGNATURE, "__saved_model_train_op")


@export("saved_model.Builder", "saved_model.builder.SavedModelBuilder")
class Builder:
    """Writes a SavedModel: first a graph with its variables, then other graphs for these.

    Args:
        export_dir: the directory; it must be empty, or not there.

    Raises:
        AssertionError: something is in it.
    """

    def __init__(self, export_dir: Any) -> None:
        self._directory = os.fspath(export_dir)
        self._model = protos.SavedModel(saved_model_schema_version=1)
        self._has_variables = False
        path = Path(local_path(export_dir))
        with file_errors():
            if path.is_dir() and any(path.iterdir()):
                raise AssertionError(
                    f"Export directory {self._directory} already exists, and isn't empty. Please "
                    "choose a different export directory, or delete all the contents of the "
                    "specified directory."
                )
            path.mkdir(parents=True, exist_ok=True)

    def add_meta_graph_and_variables(
        self,
        sess: Any,
        tags: Iterable[str],
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Sequence[Any] | None = None,
        legacy_init_op: Operation | None = None,
        clear_devices: bool = False,
        main_op: Operation | None = None,
        strip_default_attrs: bool = False,
        saver: Saver | None = None,
    ) -> None:
        """Add the session's graph, and write its variables.

        Args:
            sess: the session.
            tags: by which the graph is found again.
            signature_def_map: its signatures by name.
            assets_collection: constants that hold the names of files to take along.
            legacy_init_op: as `main_op`.
            clear_devices: write no devices.
            main_op: an operation to run when the model is loaded.
            strip_default_attrs: leave out attributes that have their default.
            saver: writes the variables; one for all of them when None.

        Raises:
            AssertionError: there are variables already, or a signature is not complete.
        """
        if self._has_variables:
            raise AssertionError(
                "Graph state including variables and assets has already been saved. Please invoke "
                "`add_meta_graph()` instead."
            )
        with sess.graph.as_default():
            saver = self._add(
                tags, signature_def_map, assets_collection, main_op or legacy_init_op,
                clear_devices, strip_default_attrs, saver,
            )  # fmt: skip
            saver.save(
                sess,
                os.path.join(self._directory, _VARIABLES),  # noqa: PTH118
                write_meta_graph=False,
                write_state=False,
            )
        self._has_variables = True

    def add_meta_graph(
        self,
        tags: Iterable[str],
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Sequence[Any] | None = None,
        legacy_init_op: Operation | None = None,
        clear_devices: bool = False,
        main_op: Operation | None = None,
        strip_default_attrs: bool = False,
        saver: Saver | None = None,
    ) -> None:
        """Add the default graph, for variables that are written; see the method above.

        Raises:
            AssertionError: no variables are written yet, or a signature is not complete.
        """
        if not self._has_variables:
            raise AssertionError(
                "Graph state including variables and assets has not been saved yet. Please invoke "
                "`add_meta_graph_and_variables()` first."
            )
        self._add(
            tags, signature_def_map, assets_collection, main_op or legacy_init_op, clear_devices,
            strip_default_attrs, saver,
        )  # fmt: skip

    def _add(
        self, tags: Iterable[str], signatures: Mapping[str, Any] | None,
        assets: Sequence[Any] | None, main_op: Operation | None, clear_devices: bool,
        strip_default_attrs: bool, saver: Saver | None,
    ) -> Saver:  # fmt: skip
        for name, signature in (signatures or {}).items():
            _check_signature(name, signature)
        _add_main_op(main_op)
        if saver is None:
            saver = Saver(all_saveable_objects(), sharded=True, allow_empty=True)
        message = saver.export_meta_graph(
            clear_devices=clear_devices, strip_default_attrs=strip_default_attrs
        )
        for tensor in assets or ():
            self._add_asset(message, tensor)
        message.meta_info_def.tags.extend(tags)
        for name, signature in (signatures or {}).items():
            message.signature_def[name].CopyFrom(signature)
        self._model.meta_graphs.append(message)
        return saver

    def _add_asset(self, message: Any, tensor: Any) -> None:
        """Take a file along; files of one name in different directories get numbers."""
        source = Path(local_path(_asset_path(tensor)))
        directory = Path(local_path(self._directory)) / _ASSETS
        name, number = source.name, 0
        with file_errors():
            directory.mkdir(exist_ok=True)
            while (directory / name).exists() and not _same(directory / name, source):
                number += 1
                name = f"{source.name}_{number}"
            with written_aside(str(directory / name)) as written:
                shutil.copyfile(source, written)
        asset = protos.AssetFileDef(filename=name)
        asset.tensor_info.name = tensor.name
        packed = message.collection_def[_ASSETS_KEY].any_list.value.add()
        packed.type_url = "type.googleapis.com/tensorflow.AssetFileDef"
        packed.value = asset.SerializeToString()

    def save(self, as_text: bool = False) -> bytes:
        """Write the graphs; gives the path of their file.

        Raises:
            NotFoundError: the directory is gone.
        """
        name = _PBTXT if as_text else _PB
        path = os.path.join(self._directory, name)  # noqa: PTH118
        if as_text:
            data = protos.text_format.MessageToString(self._model).encode()
        else:
            data = self._model.SerializeToString(deterministic=True)
        write_whole(path, data)
        return path.encode()


def _asset_path(tensor: Any) -> Any:
    """The path that a constant holds.

    Raises:
        TypeError: it is no constant, no scalar, or no text.
        ValueError: the text is empty.
    """
    is_constant = isinstance(tensor, Tensor) and tensor.op.type == "Const"
    value = constant_value(tensor) if is_constant else None
    if value is None or tensor.dtype != string or value.size != 1:
        raise TypeError(f"Asset path tensor {tensor} must be a constant, a scalar of dtype string.")
    if not value.item():
        raise ValueError(f"Asset filepath tensor {tensor} is invalid: it is empty.")
    return value.item()


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _check_signature(name: str, signature: Any) -> None:
    for infos in (signature.inputs, signature.outputs):
        for tensor_info in infos.values():
            _check_tensor_info(tensor_info)
    if name in _RESERVED:
        raise KeyError(f'SignatureDef map key "{name}" is reserved. Please use a different key.')


def _check_tensor_info(tensor_info: Any) -> None:
    if tensor_info.WhichOneof("encoding") == "composite_tensor":
        for component in tensor_info.composite_tensor.components:
            _check_tensor_info(component)
    elif not tensor_info.WhichOneof("encoding") or not tensor_info.dtype:
        raise AssertionError(
            f"Invalid `tensor_info`: {tensor_info}. All TensorInfo protos used in the "
            "SignatureDefs must have the `name` and `dtype` fields set."
        )


def _add_main_op(main_op: Operation | None) -> None:
    if main_op is None:
        return
    if not isinstance(main_op, Operation):
        raise TypeError(f"Expected {main_op!r} to be an Operation.")
    graph = get_default_graph()
    for key in (_MAIN_OP, _LEGACY_INIT_OP):
        if graph.get_collection(key):
            raise ValueError(
                f"Graph already contains one or more main ops under the collection {key}."
            )
    graph.add_to_collection(_MAIN_OP, main_op)


@export("saved_model.main_op.main_op")
def main_op() -> Operation:
    """The operation that initializes variables, local ones too, and tables."""
    return group(
        global_variables_initializer(), local_variables_initializer(), tables_initializer()
    )


@export("saved_model.main_op_with_restore", "saved_model.main_op.main_op_with_restore")
def main_op_with_restore(restore_op_name: Any) -> Operation:
    """The operation that initializes all, and waits for another one too, a restore for instance."""
    with get_default_graph().control_dependencies([main_op()]):
        return group(restore_op_name)


@export("saved_model.simple_save")
def simple_save(
    session: Any,
    export_dir: Any,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    legacy_init_op: Operation | None = None,
) -> None:
    """Write a session's graph and variables for serving, with one signature.

    Args:
        session: the session.
        export_dir: the directory; it must be empty, or not there.
        inputs: tensors that go in, by name.
        outputs: tensors that come out, by name.
        legacy_init_op: an operation to run when the model is loaded.
    """
    builder = Builder(export_dir)
    with session.graph.as_default():
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": predict_signature_def(inputs, outputs)},
            session.graph.get_collection(GraphKeys.ASSET_FILEPATHS),
            main_op=legacy_init_op,
            clear_devices=True,
        )
    builder.save()


def read_saved_model(export_dir: Any) -> Any:
    """The SavedModel message of a directory.

    Raises:
        OSError: there is none, or its file is damaged.
    """
    directory = Path(local_path(export_dir))
    binary, text = directory / _PB, directory / _PBTXT
    if binary.is_file():
        try:
            return protos.SavedModel.FromString(binary.read_bytes())
        except protos.DecodeError as error:
            raise OSError(f"Cannot parse file {binary}: {error}.") from None
    if text.is_file():
        try:
            return protos.parsed_text(protos.SavedModel, text.read_bytes())
        except (protos.text_format.ParseError, UnicodeDecodeError) as error:
            raise OSError(f"Cannot parse file {text}: {error}.") from None
    raise OSError(f"SavedModel file does not exist at: {export_dir}/{{{_PBTXT}|{_PB}}}")


@export(
    "saved_model.maybe_saved_model_directory",
    "saved_model.loader.maybe_saved_model_directory",
    "saved_model.contains_saved_model",
)
def maybe_saved_model_directory(export_dir: Any) -> bool:
    """Whether a directory looks like a SavedModel."""
    directory = Path(local_path(export_dir))
    return (directory / _PB).is_file() or (directory / _PBTXT).is_file()


@export("saved_model.load", "saved_model.loader.load")
def load(
    sess: Any,
    tags: Iterable[str],
    export_dir: Any,
    import_scope: str | None = None,
    **saver_kwargs: Any,
) -> Any:
    """Add a graph of a SavedModel to the session's graph, and restore its variables.

    Args:
        sess: the session.
        tags: the graph's tags, all of them.
        export_dir: the directory.
        import_scope: name scope to put everything in.
        **saver_kwargs: `input_map` and `return_elements`, as those of `tf.import_graph_def`.

    Returns:
        The MetaGraphDef, whose `signature_def` names inputs and outputs.

    Raises:
        OSError: there is no SavedModel.
        RuntimeError: it has no graph of these tags.
    """
    model = read_saved_model(export_dir)
    wanted = set(tags)
    found = [m for m in model.meta_graphs if set(m.meta_info_def.tags) == wanted]
    if not found:
        available = [set(message.meta_info_def.tags) for message in model.meta_graphs]
        raise RuntimeError(
            f"MetaGraphDef associated with tags {str(tags).strip('[]')} could not be "
            f"found in SavedModel, with available tags '{available}'. To inspect available "
            "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`."
        )
    message = found[0]
    with sess.graph.as_default() as graph:
        _, scope, _ = import_into_graph(
            message, False, import_scope, **saver_kwargs,
            origin=f"the SavedModel in {os.fspath(export_dir)}",
        )  # fmt: skip
        saver = saver_of(message, scope)
        if saver is None:
            info("The specified SavedModel has no variables; no checkpoints were restored.")
        else:
            saver.restore(sess, os.path.join(os.fspath(export_dir), _VARIABLES))  # noqa: PTH118
        name = _main_op_name(message)
        if name is not None:
            main_op = graph.as_graph_element(within_scope(name, scope))
            sess.run(main_op, _assets(message, export_dir, scope))
    return message


def _main_op_name(message: Any) -> str | None:
    """What is run when a model is loaded: a signature names it, or a collection.

    Raises:
        RuntimeError: the collection names several.
    """
    if _INIT_SIGNATURE in message.signature_def:
        name: str = message.signature_def[_INIT_SIGNATURE].outputs[_INIT_SIGNATURE].name
        return name
    for key in (_MAIN_OP, _LEGACY_INIT_OP):
        if key in message.collection_def:
            names = message.collection_def[key].node_list.value
            if len(names) != 1:
                raise RuntimeError(
                    f"Expected exactly one SavedModel init op. Found {len(names)}: {names}."
                )
            return str(names[0])
    return None


def _assets(message: Any, export_dir: Any, scope: str) -> dict[str, str]:
    """Where the files are now that tensors of the graph name.

    They stand in a collection, or in a field that TensorFlow 2 has given them.
    """
    assets = list(message.asset_file_def)
    if _ASSETS_KEY in message.collection_def:
        packed = message.collection_def[_ASSETS_KEY].any_list.value
        assets += [protos.AssetFileDef.FromString(one.value) for one in packed]
    directory = os.path.join(os.fspath(export_dir), _ASSETS)  # noqa: PTH118
    return {
        within_scope(asset.tensor_info.name, scope): os.path.join(  # noqa: PTH118
            directory, Path(asset.filename).name
        )
        for asset in assets
    }
