"""`tf.summary.FileWriter`: summaries, graphs and traces for TensorBoard."""

from __future__ import annotations

import json
import time
import warnings
from typing import Any, ClassVar

from tfsession.core import forking, protos, verbosity
from tfsession.core.exports import export
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph import Graph
from tfsession.train.event_file import EventFileWriter
from tfsession.train.meta_graph import export_meta_graph

__all__ = ["FileWriter", "FileWriterCache", "get_summary_description"]


def _encoded(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    protos.require_room(len(data))
    return data


class SummaryToEventTransformer:
    """Turns summaries, graphs and logs into events, for whatever has `add_event`.

    Args:
        event_writer: an object with the methods of `EventFileWriter`.
        graph: a graph to add, with a MetaGraph of it.
        graph_def: its GraphDef, the older form.
    """

    def __init__(self, event_writer: Any, graph: Any = None, graph_def: Any = None) -> None:
        self.event_writer = event_writer
        self._run_tags: set[str] = set()
        self._tags_with_metadata: set[str] = set()
        if graph is not None or graph_def is not None:
            message = self._add_graph(graph, None, graph_def)
            self.add_meta_graph(export_meta_graph(graph_def=message, collection_list=()))

    def add_summary(self, summary: Any, global_step: Any = None) -> None:
        """Write a summary: serialized, as a step gives it, or a `tf.Summary`.

        The metadata of a tag are written once.

        Args:
            summary: the summary.
            global_step: the step that it tells of.
        """
        if isinstance(summary, bytes):
            event = protos.Event(summary=protos.Summary.FromString(summary))
        else:
            event = protos.Event(summary=protos.coerce(summary, protos.Summary))
        for value in event.summary.value:
            if value.HasField("metadata"):
                if value.tag in self._tags_with_metadata:
                    value.ClearField("metadata")
                self._tags_with_metadata.add(value.tag)
        self._add_event(event, global_step)

    def add_session_log(self, session_log: Any, global_step: Any = None) -> None:
        """Write a `tf.SessionLog`: that a session has started or stopped, or kept a checkpoint."""
        log = protos.coerce(session_log, protos.SessionLog)
        self._add_event(protos.Event(session_log=log), global_step)

    def add_graph(self, graph: Any, global_step: Any = None, graph_def: Any = None) -> None:
        """Write a graph, with the shapes of its tensors.

        Args:
            graph: a Graph; or a GraphDef, the older form.
            global_step: the step that it belongs to.
            graph_def: as `graph`.

        Raises:
            ValueError: both are given.
            TypeError: neither is.
        """
        self._add_graph(graph, global_step, graph_def)

    def _add_graph(self, graph: Any, global_step: Any, graph_def: Any) -> Any:
        if graph is not None and graph_def is not None:
            raise ValueError("Please pass only graph, or graph_def (deprecated), but not both.")
        given = graph_def if graph is None else graph
        if isinstance(given, Graph):
            message = given.as_graph_def(add_shapes=True)
        else:
            try:
                message = protos.coerce(given, protos.GraphDef)
            except TypeError:
                text = (
                    "The passed graph must be an instance of `Graph` or the deprecated `GraphDef`"
                )
                raise TypeError(text) from None
            verbosity.warning(
                "Passing a `GraphDef` to the SummaryWriter is deprecated. Pass a `Graph` object "
                "instead, such as `sess.graph`."
            )
        self._add_event(protos.Event(graph_def=_encoded(message)), global_step)
        return message

    def add_meta_graph(self, meta_graph_def: Any, global_step: Any = None) -> None:
        """Write a MetaGraphDef; raises TypeError for anything else."""
        try:
            message = protos.coerce(meta_graph_def, protos.MetaGraphDef)
        except TypeError:
            raise TypeError(
                f"meta_graph_def must be type MetaGraphDef, saw type: {type(meta_graph_def)}"
            ) from None
        self._add_event(protos.Event(meta_graph_def=_encoded(message)), global_step)

    def add_run_metadata(self, run_metadata: Any, tag: str, global_step: Any = None) -> None:
        """Write what a run tells of itself: TensorBoard's graph shows its times and memory.

        Args:
            run_metadata: a `tf.RunMetadata`.
            tag: the name of the run.
            global_step: the step that it tells of.

        Raises:
            ValueError: the tag was used before.
        """
        if tag in self._run_tags:
            raise ValueError("The provided tag was already used for this event type")
        tagged = protos.TaggedRunMetadata(tag=tag, run_metadata=_encoded(run_metadata))
        self._add_event(protos.Event(tagged_run_metadata=tagged), global_step)
        self._run_tags.add(tag)

    def _add_event(self, event: Any, step: Any) -> None:
        event.wall_time = time.time()
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)


@export("summary.FileWriter")
class FileWriter(SummaryToEventTransformer):
    """Writes summaries and other events to a file that TensorBoard reads; a context that closes it.

    A thread writes them; what was added is in the file after `flush` or `close`, or when the
    process ends. A closed writer warns, and drops what is added.

    Args:
        logdir: the directory of the file; it is made, with those above.
        graph: a graph to add at once.
        max_queue: how many events may wait for the thread; adding more waits.
        flush_secs: after how many seconds an event is in the file without being asked.
        graph_def: a GraphDef to add at once, the older form.
        filename_suffix: what the file's name ends in.
        session: taken, and not used: events are written the same way.
    """

    def __init__(
        self,
        logdir: Any,
        graph: Any = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        graph_def: Any = None,
        filename_suffix: Any = None,
        session: Any = None,
    ) -> None:
        self._closed = False
        writer = EventFileWriter(logdir, max_queue, flush_secs, filename_suffix)
        super().__init__(writer, graph, graph_def)

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def get_logdir(self) -> str:
        """The directory."""
        return self.event_writer.get_logdir()  # type: ignore[no-any-return]

    def _add_event(self, event: Any, step: Any) -> None:
        self._warn_if_closed()
        super()._add_event(event, step)

    def _warn_if_closed(self) -> None:
        if self._closed:
            warnings.warn(
                "Attempting to use a closed FileWriter. The operation will be a noop unless the "
                "FileWriter is explicitly reopened.",
                stacklevel=4,
            )

    def add_event(self, event: Any) -> None:
        """Write a `tf.Event` as it is."""
        self._warn_if_closed()
        self.event_writer.add_event(event)

    def flush(self) -> None:
        """Wait until all that was added is in the file; raises OpError when that fails."""
        self._warn_if_closed()
        self.event_writer.flush()

    def close(self) -> None:
        """Write all that was added, and close the file; raises OpError when that fails."""
        self._closed = True
        self.event_writer.close()

    def reopen(self) -> None:
        """Go on after `close`, in another file; nothing before."""
        self._closed = False
        self.event_writer.reopen()


@export("summary.FileWriterCache")
class FileWriterCache:
    """The writers of directories: one for each, of the default graph when it was first asked."""

    _cache: ClassVar[dict[str, FileWriter]] = {}
    _lock = forking.rlock()

    @staticmethod
    def clear() -> None:
        """Close all, and forget them."""
        with FileWriterCache._lock:
            while FileWriterCache._cache:
                FileWriterCache._cache.popitem()[1].close()

    @staticmethod
    def get(logdir: Any) -> FileWriter:
        """The writer of a directory, made with its first use."""
        with FileWriterCache._lock:
            found = FileWriterCache._cache.get(logdir)
            if found is None:
                found = FileWriter(logdir, graph=get_default_graph())
                FileWriterCache._cache[logdir] = found
            return found


@export("summary.get_summary_description")
def get_summary_description(node_def: Any) -> Any:
    """The `SummaryDescription` of a node of type TensorSummary, which keeps it as JSON.

    Raises:
        ValueError: a node of another type, or one that has no such JSON.
    """
    if node_def.op != "TensorSummary":
        raise ValueError(f"Can't get_summary_description on {node_def.op}")
    text = node_def.attr["description"].s
    fields = json.loads(text)
    if not isinstance(fields, dict) or not fields.keys() <= {"typeHint", "type_hint"}:
        raise ValueError(f"{node_def.name} has no SummaryDescription: {text!r}")
    return protos.SummaryDescription(type_hint=next(iter(fields.values()), ""))
