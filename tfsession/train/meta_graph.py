"""MetaGraphDefs: a graph with its collections and how it is saved, in a file and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.op_def import NO_DEFAULT, ops
from tfsession.core.op_def_proto import to_op_def_proto
from tfsession.core.verbosity import error as log_error
from tfsession.core.verbosity import warning
from tfsession.graph import context_def  # noqa: F401 (says how contexts are written)
from tfsession.graph.collection_protos import collection_protos, within_scope, without_scope
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_def import to_graph_def
from tfsession.graph.importer import import_message
from tfsession.graph.loaded import note_own
from tfsession.train.checkpoint_state import write_whole

# What is followed; the same text as `tf.VERSION`.
_TENSORFLOW_VERSION: Final = "2.21.0"
# What the nodes of an exported scope read from outside of it, and the collection that lists it.
_UNBOUND: Final = "$unbound_inputs_"
_UNBOUND_KEY: Final = "unbound_inputs"
_SAVING_OPS: Final = frozenset(
    ["SaveV2", "Save", "SaveSlices", "RestoreV2", "Restore", "RestoreSlice", "MergeV2Checkpoints"]
)


@export("train.export_meta_graph")
def export_meta_graph(
    filename: str | None = None,
    meta_info_def: Any = None,
    graph_def: Any = None,
    saver_def: Any = None,
    collection_list: Iterable[str] | None = None,
    as_text: bool = False,
    graph: Graph | None = None,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    save_debug_info: bool = False,
) -> Any:
    """The MetaGraphDef of a graph: nodes with their shapes, collections, how it is saved.

    Args:
        filename: where to write it; not written when None.
        meta_info_def: tags and the like to begin with.
        graph_def: written instead of the graph's own.
        saver_def: how it is saved.
        collection_list: the collections to write; all when None.
        as_text: write text instead of a binary file.
        graph: the default graph when None.
        export_scope: write only what is in this name scope, without the scope, and without what it
            waits for outside. What it reads from there becomes inputs `$unbound_inputs_NAME`, to be
            given as `input_map` when the graph is imported; the collection "unbound_inputs" lists
            them.
        clear_devices: write no devices.
        clear_extraneous_savers: leave out the operations of Savers other than `saver_def`'s.
        strip_default_attrs: leave out attributes that have their default.
        save_debug_info: no effect.
    """
    graph = graph or get_default_graph()
    message = protos.MetaGraphDef()
    if meta_info_def is not None:
        message.meta_info_def.CopyFrom(protos.coerce(meta_info_def, type(message.meta_info_def)))
    if graph_def is None:
        message.graph_def.CopyFrom(to_graph_def(graph, add_shapes=True))
    else:
        message.graph_def.CopyFrom(protos.coerce(graph_def, protos.GraphDef))
    saver_def = None if saver_def is None else protos.coerce(saver_def, protos.SaverDef)
    left_out = _other_savers(message.graph_def, saver_def) if clear_extraneous_savers else ()
    _drop_nodes(message.graph_def, left_out)
    unbound = _keep_scope(message.graph_def, export_scope) if export_scope else []
    if export_scope and graph_def is None:
        note_own(graph, message.graph_def)
    if clear_devices:
        for node in _nodes(message.graph_def):
            node.device = ""
    about = message.meta_info_def
    if strip_default_attrs:
        _strip_defaults(message.graph_def)
    about.stripped_default_attrs = strip_default_attrs
    if not about.stripped_op_list.op:
        about.stripped_op_list.CopyFrom(_op_list(message.graph_def))
    about.tensorflow_version = about.tensorflow_version or _TENSORFLOW_VERSION
    about.tensorflow_git_version = about.tensorflow_git_version or "unknown"
    if saver_def is not None:
        message.saver_def.CopyFrom(saver_def)
    keys = graph.get_all_collection_keys() if collection_list is None else collection_list
    for key in keys:
        add_collection_def(message, key, graph, export_scope, left_out)
    if unbound:
        message.collection_def[_UNBOUND_KEY].bytes_list.value[:] = map(str.encode, unbound)
    if filename:
        data = (
            protos.text_format.MessageToString(message).encode()
            if as_text
            else message.SerializeToString(deterministic=True)
        )
        with file_errors():
            Path(local_path(filename)).parent.mkdir(parents=True, exist_ok=True)
        write_whole(filename, data)
    return message


def _nodes(graph_def: Any) -> list[Any]:
    """The nodes of a graph and of its functions."""
    functions = graph_def.library.function
    return [*graph_def.node, *(node for function in functions for node in function.node_def)]


def _op_list(graph_def: Any) -> Any:
    """The definitions of the ops that a graph uses, sorted, without its own functions."""
    used = {node.op for node in _nodes(graph_def)}
    return protos.OpList(op=[to_op_def_proto(ops[name]) for name in sorted(used) if name in ops])


def _strip_defaults(graph_def: Any) -> None:
    for node in _nodes(graph_def):
        if node.op not in ops:
            continue
        for name, attr in ops[node.op].attrs.items():
            if name in node.attr and attr.default is not NO_DEFAULT:
                default = to_attr_value(attr.default, attr.type)
                if node.attr[name] == default:
                    del node.attr[name]


def _other_savers(graph_def: Any, saver_def: Any) -> tuple[str, ...]:
    """How the names begin that lie in the scopes of Savers other than `saver_def`'s."""
    scopes = {_scope_of(node.name) for node in graph_def.node if node.op in _SAVING_OPS}
    kept = [] if saver_def is None else [saver_def.save_tensor_name, saver_def.restore_op_name]
    return tuple(f"{scope}/" for scope in scopes.difference(map(_scope_of, kept), [""]))


def _scope_of(name: str) -> str:
    return name.rpartition("/")[0]


def _drop_nodes(graph_def: Any, prefixes: tuple[str, ...]) -> None:
    """Drop the nodes whose names begin so."""
    if prefixes:
        _set_nodes(graph_def, [n for n in graph_def.node if not n.name.startswith(prefixes)])


def _set_nodes(graph_def: Any, nodes: list[Any]) -> None:
    copies = [protos.NodeDef.FromString(node.SerializeToString()) for node in nodes]
    del graph_def.node[:]
    graph_def.node.extend(copies)


def _keep_scope(graph_def: Any, scope: str) -> list[str]:
    """Leave the nodes of a name scope, under their names within it; what they lack now."""
    unbound: dict[str, None] = {}
    prefix = scope.rstrip("/") + "/"
    kept = [node for node in graph_def.node if node.name.startswith(prefix)]
    names = {node.name for node in kept}
    for node in kept:
        inputs = []
        for text in node.input:
            if text.removeprefix("^").split(":")[0] in names:
                inputs.append(text.replace(prefix, "", 1))
            elif not text.startswith("^"):
                inputs.append(_UNBOUND + text)
                unbound[inputs[-1]] = None
        node.input[:] = inputs
        node.name = node.name.removeprefix(prefix)
        _rename_frame(node, lambda name: name.removeprefix(prefix))
        if "_class" in node.attr:
            classes, start = node.attr["_class"].list.s, f"loc:@{prefix}".encode()
            inner = [text for text in classes if text.startswith(start)]
            classes[:] = [b"loc:@" + text.removeprefix(start) for text in inner]
    _set_nodes(graph_def, kept)
    return list(unbound)


def _rename_frame(node: Any, rename: Callable[[str], str]) -> None:
    """A loop's frame has the name of its context, which the name scope changes."""
    if node.op in ("Enter", "RefEnter"):
        frame = node.attr["frame_name"]
        frame.s = rename(frame.s.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def add_collection_def(
    message: Any,
    key: str,
    graph: Graph,
    export_scope: str | None,
    left_out: tuple[str, ...] = (),
) -> None:
    """Write down a collection, unless what it holds cannot be: then a warning says so.

    Args:
        message: the MetaGraphDef to write to.
        key: the name of the collection.
        graph: holds the collection.
        export_scope: write only what is in this name scope, without the scope.
        left_out: how the names begin of the nodes that are not written.
    """
    items = [item for item in graph.get_collection(key) if not _is_in(item, left_out)]
    if not items or key == _UNBOUND_KEY:
        return
    try:
        found = _collection_def(items, key, export_scope)
    except Exception as error:
        # Anything may lie in a collection; the rest of the graph is worth having without it.
        warning(
            "Issue encountered when serializing %s.\nType is unsupported, or the types of the "
            "items don't match field type in CollectionDef. Note this is a warning and probably "
            "safe to ignore.\n%s",
            key,
            error,
        )
    else:
        message.collection_def[key].CopyFrom(found)


def _is_in(item: Any, prefixes: tuple[str, ...]) -> bool:
    """Whether a tensor, an operation or a Saver has a name that begins so."""
    name = getattr(getattr(item, "saver_def", item), "save_tensor_name", getattr(item, "name", ""))
    return bool(prefixes) and isinstance(name, str) and name.startswith(prefixes)


def _collection_def(items: list[Any], key: str, scope: str | None) -> Any:
    found = protos.CollectionDef()
    known = collection_protos.get(key)
    first = items[0]
    if known is not None:
        messages = [known.to_proto(item, export_scope=scope) for item in items]
        found.bytes_list.value.extend(
            m.SerializeToString(deterministic=True) for m in messages if m is not None
        )
    elif isinstance(first, str | bytes):
        found.bytes_list.value.extend(i.encode() if isinstance(i, str) else i for i in items)
    elif isinstance(first, int):
        found.int64_list.value.extend(items)
    elif isinstance(first, float):
        found.float_list.value.extend(items)
    else:
        prefix = scope.rstrip("/") + "/" if scope else ""
        names = [item.name for item in items if item.name.startswith(prefix)]
        found.node_list.value.extend(without_scope(name, scope) for name in names)
    return found


def read_meta_graph(filename: str) -> Any:
    """The MetaGraphDef of a file, binary or text.

    Raises:
        OSError: there is no such file, or no such message in it.
    """
    path = Path(local_path(filename))
    if not path.is_file():
        raise OSError(f"File does not exist. Received: {filename}.")
    data = path.read_bytes()
    try:
        return protos.MetaGraphDef.FromString(data)
    except protos.DecodeError:
        pass
    try:
        return protos.parsed_text(protos.MetaGraphDef, data)
    except (protos.text_format.ParseError, UnicodeDecodeError) as error:
        raise OSError(f"Cannot parse file {filename}: {error}.") from None


def import_into_graph(
    meta_graph_or_file: Any,
    clear_devices: bool = False,
    import_scope: str | None = None,
    input_map: dict[str, Any] | None = None,
    return_elements: list[str] | None = None,
    origin: str = "an imported MetaGraphDef",
) -> tuple[Any, str, list[Any] | None]:
    """Add a MetaGraphDef's nodes and collections to the default graph.

    Args:
        meta_graph_or_file: a MetaGraphDef, or the path of a file that holds one.
        clear_devices: forget where operations were placed.
        import_scope: name scope to put everything in.
        input_map: as that of `tf.import_graph_def`.
        return_elements: as those of `tf.import_graph_def`.
        origin: where a MetaGraphDef came from; a file tells its name.

    Returns:
        The message, the whole name scope, and what `tf.import_graph_def` has given.
    """
    if isinstance(meta_graph_or_file, str | os.PathLike):
        message = read_meta_graph(os.fspath(meta_graph_or_file))
        origin = f"the MetaGraphDef in {os.fspath(meta_graph_or_file)}"
    else:
        message = protos.MetaGraphDef()
        message.CopyFrom(protos.coerce(meta_graph_or_file, protos.MetaGraphDef))
    if clear_devices:
        for node in _nodes(message.graph_def):
            node.device = ""
    _check_unbound(message, input_map or {})
    graph = get_default_graph()
    scope = "/".join(part for part in (graph.get_name_scope(), import_scope) if part)
    for node in message.graph_def.node:
        _rename_frame(node, lambda name: within_scope(name, scope))
    op_list = message.meta_info_def.stripped_op_list
    elements = import_message(
        message.graph_def,
        input_map,
        return_elements,
        name=import_scope or "",
        producer_op_list=op_list if op_list.op else None,
        origin=origin,
    )
    made: dict[tuple[str, bytes], Any] = {}
    for key in sorted(message.collection_def):
        _restore_collection(graph, key, message.collection_def[key], scope, made)
    return message, scope, elements


def _check_unbound(message: Any, input_map: Mapping[str, Any]) -> None:
    """Refuse a graph some of whose inputs come from nowhere; forget the list of them."""
    if _UNBOUND_KEY in message.collection_def:
        listed = message.collection_def[_UNBOUND_KEY].bytes_list.value
        missing = sorted({text.decode() for text in listed}.difference(input_map))
        if missing:
            raise ValueError(
                f"Graph contains unbound inputs: {','.join(missing)}. Must provide these inputs "
                "through input_map."
            )
        del message.collection_def[_UNBOUND_KEY]


def _restore_collection(
    graph: Graph, key: str, found: Any, scope: str, made: dict[tuple[str, bytes], Any]
) -> None:
    """Fill a collection; `made` are objects by their messages, which several may hold."""
    kind = found.WhichOneof("kind")
    if kind is None:
        log_error("Cannot identify data type for collection %s. Skipping.", key)
        return
    try:
        _fill_collection(graph, key, found, kind, scope, made)
    except (protos.DecodeError, KeyError, IndexError) as error:
        raise ValueError(f"Collection '{key}' cannot be restored: {error.args[0]}") from None


def _fill_collection(
    graph: Graph, key: str, found: Any, kind: str, scope: str, made: dict[tuple[str, bytes], Any]
) -> None:
    known = collection_protos.get(key)
    for value in getattr(found, kind).value:
        if known is not None and kind == "bytes_list":
            item = made.get((known.message, value))
            if item is None:
                item = made[known.message, value] = known.parse(value, scope)
        elif kind == "node_list":
            item = graph.as_graph_element(within_scope(value, scope))
        elif kind == "int64_list":
            item = int(value)
        else:
            item = value
        graph.add_to_collection(key, item)
