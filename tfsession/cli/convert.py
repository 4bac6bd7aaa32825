"""`tfsession convert`: a file of tensors or of a graph written in another format."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from tfsession.checkpoint.reader import open_checkpoint
from tfsession.checkpoint.weights import WRITERS, ChosenWeights, Weights
from tfsession.cli.saved_file import EVENTS, TENSORS, SavedFile, open_saved, told
from tfsession.cli.tensor_contents import OBJECT_GRAPH, kind_of
from tfsession.core import protos
from tfsession.core.errors import OpError
from tfsession.runtime.moves import bytes_text
from tfsession.train.checkpoint_state import checkpoint_exists, write_whole
from tfsession.train.external_weights import export_graph, serialized
from tfsession.train.freeze_checkpoint import freeze_checkpoint

__all__ = ["add_arguments", "run"]

_EXIT_CODES: Final = """\
DST is a safetensors, npz, pb or pbtxt file by the end of its name, else a checkpoint (V2).

exit codes:
  0  written
  1  SRC cannot be converted so: nothing is written
  2  the command line is wrong, SRC cannot be read, or DST is there already
"""
_GRAPHS: Final = ("pb", "pbtxt")
_VARIABLES: Final = "variables/variables"
_META: Final = ".meta"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXIT_CODES
    parser.add_argument("source", metavar="SRC", help="whatever `tfsession inspect` reads")
    parser.add_argument("target", metavar="DST", help="the file, or the checkpoint's name")
    parser.add_argument(
        "--to", choices=[*WRITERS, *_GRAPHS], help="the format, whatever DST is called"
    )
    parser.add_argument(
        "--outputs",
        metavar="NAMES",
        help="write a frozen graph of what these nodes, separated by commas, need; of a SavedModel "
        "by default the outputs of its signatures",
    )
    parser.add_argument(
        "--graph",
        metavar="FILE",
        help="the MetaGraphDef of a checkpoint that is to be frozen, SRC.meta by default",
    )
    parser.add_argument(
        "--tags", metavar="TAGS", help="which meta graph of a SavedModel: serve,gpu"
    )
    for option, what in (("--only", "only tensors"), ("--without", "no tensors")):
        parser.add_argument(
            option,
            metavar="GLOB",
            action="append",
            default=[],
            help=f"write {what} of such a name, as 'layer1/*'; may be given several times",
        )
    parser.add_argument("--clear-devices", action="store_true", help="write no devices into graphs")
    parser.add_argument(
        "--external",
        action="store_true",
        help="write large constants of a graph into a safetensors file beside it, as a graph of "
        "2 GB and more needs",
    )
    parser.add_argument("--force", action="store_true", help="overwrite DST")


class _Refused(Exception):
    """The command ends with this text and exit code."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


def run(args: argparse.Namespace) -> int:
    """Writes the file; exit codes are those of the help."""
    try:
        kind = args.to or _kind_of(args.target)
        _check_target(args, kind)
        try:
            saved = open_saved(args.source)
        except (OSError, OpError, ValueError, TypeError) as error:
            raise _Refused(f"{args.source} cannot be read: {told(error)}") from None
        try:
            done = (_write_graph if kind in _GRAPHS else _write_tensors)(saved, args, kind)
        except (OSError, OpError, ValueError, TypeError) as error:
            raise _Refused(f"{args.source} cannot be converted: {told(error)}", 1) from None
    except _Refused as refused:
        sys.stderr.write(f"tfsession: {refused}\n")
        return refused.code
    sys.stdout.write(f"{args.target}: {done}\n")
    return 0


def _kind_of(target: str) -> str:
    suffix = Path(target).suffix.removeprefix(".")
    return suffix if suffix in (*WRITERS, *_GRAPHS) and suffix not in ("v1", "v2") else "v2"


def _check_target(args: argparse.Namespace, kind: str) -> None:
    target = args.target
    is_there = Path(target).exists() or (kind in ("v1", "v2") and checkpoint_exists(target))
    if Path(target).is_dir():
        raise _Refused(f"{target} is a directory: name a file, or a checkpoint in it")
    if is_there and os.path.realpath(target) == os.path.realpath(args.source):
        raise _Refused(f"{target} is what is to be converted: give the result another name")
    if is_there and not args.force:
        raise _Refused(f"{target} is there already: --force overwrites it")


# --- tensors --------------------------------------------------------------------------------------


def _write_tensors(saved: SavedFile, args: argparse.Namespace, kind: str) -> str:
    if saved.kind == "SavedModel":
        reader: Any = open_checkpoint(f"{saved.path}/{_VARIABLES}")
    elif saved.kind == TENSORS:
        reader = saved.value
    else:
        hint = "events" if saved.kind == EVENTS else f"a {saved.kind}"
        raise ValueError(f"{kind} holds tensors, but this is {hint}")
    names = [name for name in reader.names() if _is_chosen(name, args)]
    left = set(reader.names()) - set(names)
    if kind in ("safetensors", "npz") and OBJECT_GRAPH in names and not args.only:
        # It tells TensorFlow 2 which object saved what, in a text that these formats do not hold.
        names.remove(OBJECT_GRAPH)
        left.add(OBJECT_GRAPH)
    if not names:
        raise ValueError("no tensor has such a name")
    sizes = {name: _size(reader, name) for name in names}
    with _progress(Path(args.target).name, sum(sizes.values())) as advance:
        WRITERS[kind](
            args.target, ChosenWeights(reader, names, lambda name: advance(sizes[name]))
        )  # fmt: skip
    text = f"{kind}, {len(names):,} tensors, {bytes_text(sum(sizes.values()))}"
    text += f", from {kind_of(reader)}"
    return text + (f"; {len(left):,} left out" if left else "")


def _is_chosen(name: str, args: argparse.Namespace) -> bool:
    wanted = not args.only or any(fnmatchcase(name, one) for one in args.only)
    return wanted and not any(fnmatchcase(name, one) for one in args.without)


def _size(weights: Weights, name: str) -> int:
    entry = weights.entry(name)
    return math.prod(entry.shape) * (entry.dtype.size or 1)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as bars  # noqa: PLC0415  35 ms, only for a terminal
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}", markup=False), bars.BarColumn(),
        bars.DownloadColumn(binary_units=True), bars.TransferSpeedColumn(),
    )  # fmt: skip
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        printable = "".join(c if c.isprintable() else "?" for c in what)
        task = progress.add_task(printable, total=total)
        yield lambda count: progress.advance(task, count)


# --- graphs ---------------------------------------------------------------------------------------


def _write_graph(saved: SavedFile, args: argparse.Namespace, kind: str) -> str:
    outputs = [name for name in (args.outputs or "").split(",") if name]
    if saved.kind == EVENTS:
        raise ValueError(f"{kind} holds a graph, but this is a file of events")
    if saved.kind == "GraphDef" and not outputs:
        message, about = saved.value, "GraphDef"
    elif saved.kind == "MetaGraphDef" and not outputs:
        message, about = saved.value, "MetaGraphDef"
    else:
        meta_graph, checkpoint = _to_freeze(saved, args)
        outputs = outputs or _signature_outputs(meta_graph)
        if not outputs:
            raise ValueError("--outputs must name the nodes that the frozen graph is to compute")
        message = freeze_checkpoint(meta_graph, checkpoint, outputs)
        about = f"frozen graph of {', '.join(outputs)}"
    if args.clear_devices:
        _clear_devices(message)
    nodes = message.graph_def.node if about == "MetaGraphDef" else message.node
    text = f"{about}, {len(nodes):,} nodes"
    if not args.external:
        data = serialized(message, kind == "pbtxt")
        write_whole(args.target, data)
        return f"{text}, {bytes_text(len(data))}"
    if about == "MetaGraphDef":
        raise ValueError("--external takes the constants out of a GraphDef, not of a MetaGraphDef")
    file = Path(args.target).with_suffix(".safetensors")
    if file.exists() and not args.force:
        raise ValueError(f"{file} is there already: --force overwrites it")
    export_graph(args.target, message, file.name, as_text=kind == "pbtxt")
    return f"{text}, its large constants in {file}"


def _to_freeze(saved: SavedFile, args: argparse.Namespace) -> tuple[Any, str | None]:
    """The meta graph, and the name of the checkpoint that belongs to it."""
    if saved.kind == "SavedModel":
        variables = f"{saved.path}/{_VARIABLES}"
        found = variables if checkpoint_exists(variables) else None
        return _meta_graph(saved.value, args.tags), found
    if saved.kind == "GraphDef":
        return protos.MetaGraphDef(graph_def=saved.value), None
    if saved.kind == "MetaGraphDef":
        beside = saved.path.removesuffix(_META)
        return saved.value, beside if checkpoint_exists(beside) else None
    path = args.graph or saved.path + _META
    if not Path(path).is_file():
        raise ValueError(f"a frozen graph needs the MetaGraphDef {path}, or one that --graph names")
    graph = open_saved(path)
    if graph.kind != "MetaGraphDef":
        raise ValueError(f"{path} is a {graph.kind}, but a MetaGraphDef is needed")
    return graph.value, saved.path


def _meta_graph(model: Any, tags: str | None) -> Any:
    """The one of these tags; the only one, or that for serving, where there are none."""
    graphs = list(model.meta_graphs)
    if tags is None and len(graphs) == 1:
        return graphs[0]
    wanted = set((tags or "serve").split(","))
    found = [one for one in graphs if set(one.meta_info_def.tags) == wanted]
    if not found:
        there = "; ".join(",".join(one.meta_info_def.tags) for one in graphs)
        raise ValueError(f"no meta graph has the tags {','.join(sorted(wanted))}, but: {there}")
    return found[0]


def _signature_outputs(meta_graph: Any) -> list[str]:
    """The nodes of the outputs of all signatures."""
    names = {
        info.name.split(":")[0]
        for signature in meta_graph.signature_def.values()
        for info in signature.outputs.values()
        if info.name and info.dtype
    }
    there = {node.name for node in meta_graph.graph_def.node}
    return sorted(names & there)


def _clear_devices(message: Any) -> None:
    graph_def = getattr(message, "graph_def", message)
    for nodes in (graph_def.node, *(f.node_def for f in graph_def.library.function)):
        for node in nodes:
            node.device = ""
