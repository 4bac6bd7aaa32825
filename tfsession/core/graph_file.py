"""Saved graphs: a GraphDef from whatever file holds one, binary or text.

A file does not say what message it holds: what it can be parsed as is told by whether named nodes
come out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from tfsession.core import protos

_SAVED_MODEL: Final = ("saved_model.pb", "saved_model.pbtxt")
# A SavedModel begins with its version, a number; the others begin with messages or texts.
_NUMBER_FIRST: Final = b"\x08"
# Where protocol messages end.
_LARGEST: Final = 1 << 31
_CONTROL_CHARACTERS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_OP_TYPE: Final = re.compile(r"[A-Za-z_>][A-Za-z0-9_.>]*")


class SavedGraph(NamedTuple):
    """A GraphDef message, and what it was found in."""

    graph_def: Any
    kind: str


def read_graph(path: str | Path) -> SavedGraph:
    """Read a GraphDef, MetaGraphDef or SavedModel, binary or text.

    Args:
        path: the file, or the directory of a SavedModel. Of several meta graphs the first is read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no graph.
    """
    return _saved(*read_message(path))


def read_message(path: str | Path) -> tuple[Any, str]:
    """Read a GraphDef, MetaGraphDef or SavedModel as it is: the message, and which it is.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no graph.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in _SAVED_MODEL if (path / name).exists()]
        if not found:
            raise ValueError("the directory holds no saved_model.pb")
        path = found[0]
    if path.stat().st_size >= _LARGEST:
        raise ValueError("it has 2 GB or more, and no message of a graph has")
    data = path.read_bytes()
    if not data:
        raise ValueError("the file is empty")
    return _from_binary(data) if _CONTROL_CHARACTERS.search(data) else _from_text(data)


def _from_binary(data: bytes) -> tuple[Any, str]:
    kinds = ["SavedModel"] if data.startswith(_NUMBER_FIRST) else ["GraphDef", "MetaGraphDef"]
    for kind in kinds:
        try:
            message = getattr(protos, kind).FromString(data)
        except protos.DecodeError:
            continue
        if _is_graph(_saved(message, kind).graph_def):
            return message, kind
    raise ValueError("no GraphDef, MetaGraphDef or SavedModel with nodes can be read from it")


def _from_text(data: bytes) -> tuple[Any, str]:
    failure = "it is no text in UTF-8"
    for kind in ("GraphDef", "MetaGraphDef", "SavedModel"):
        try:
            message = protos.parsed_text(getattr(protos, kind), data)
        except (protos.text_format.ParseError, UnicodeDecodeError) as error:
            # The first one counts: most text files are GraphDefs.
            failure = str(error).split("\n")[0] if kind == "GraphDef" else failure
            continue
        if _is_graph(_saved(message, kind).graph_def):
            return message, kind
        failure = f"the {kind} has no nodes"
    raise ValueError(f"it seems to be text, but {failure}")


def _saved(message: Any, kind: str) -> SavedGraph:
    if kind == "GraphDef":
        return SavedGraph(message, kind)
    if kind == "MetaGraphDef":
        return SavedGraph(message.graph_def, kind)
    graphs = message.meta_graphs
    if not graphs:
        return SavedGraph(protos.GraphDef(), kind)
    text = kind if len(graphs) == 1 else f"{kind}, the first of {len(graphs)} meta graphs"
    return SavedGraph(graphs[0].graph_def, text)


def _is_graph(graph_def: Any) -> bool:
    nodes = graph_def.node
    return len(nodes) > 0 and all(node.name and _OP_TYPE.fullmatch(node.op) for node in nodes)
