"""Graphs as GraphDef messages, and the versions that they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tfsession.core import protos
from tfsession.graph.loaded import note_own
from tfsession.graph.node_def import EncodedNodes, encoded_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation

# The version of TensorFlow's graph format that is read and written (2.21's).
PRODUCER: Final = 2474
# The first consumer that knows functions.
_FUNCTIONS_SINCE: Final = 12


class Versions:
    """Who wrote a graph and who may read it, as a VersionDef says."""

    __slots__ = ("bad_consumers", "min_consumer", "producer")

    def __init__(self) -> None:
        self.producer = PRODUCER
        self.min_consumer = 0
        self.bad_consumers: list[int] = []

    def merge(self, other: Any) -> None:
        """Take in a VersionDef: the older producer and the stricter demands count."""
        self.producer = min(self.producer, other.producer)
        self.min_consumer = max(self.min_consumer, other.min_consumer)
        self.bad_consumers = sorted({*self.bad_consumers, *other.bad_consumers})

    def to_proto(self) -> Any:
        """The VersionDef message."""
        return protos.VersionDef(
            producer=self.producer,
            min_consumer=self.min_consumer,
            bad_consumers=self.bad_consumers,
        )


def check_versions(versions: Any) -> None:
    """Raise ValueError if a VersionDef says that this library may not read the graph."""
    if versions.producer < 0:
        raise ValueError(
            f"GraphDef producer version {versions.producer} below min producer 0 supported by "
            "TensorFlow 2.21.0.  Please regenerate your graph."
        )
    if versions.min_consumer > PRODUCER:
        raise ValueError(
            f"GraphDef min consumer version {versions.min_consumer} above current version "
            f"{PRODUCER} for TensorFlow 2.21.0.  Please upgrade TensorFlow."
        )
    if PRODUCER in versions.bad_consumers:
        raise ValueError(
            f"GraphDef disallows consumer version {PRODUCER}.  Please upgrade TensorFlow: this "
            "version is likely buggy."
        )


def to_graph_def(
    graph: Graph,
    add_shapes: bool = False,
    replaced: Mapping[Operation, dict[str, Any]] | None = None,
) -> Any:
    """The GraphDef of a graph: nodes in order of creation, with all attributes.

    The attributes in `replaced` take the place of an operation's own.
    """
    message = protos.GraphDef()
    with graph._lock:
        if add_shapes or replaced:  # shapes become known without a change
            for nodes, _ in encoded_nodes(graph._ops.values(), add_shapes, replaced):
                message.MergeFromString(nodes)
        else:
            encoded = graph._encoded = graph._encoded or EncodedNodes()
            for nodes in encoded.of(graph._ops):
                message.MergeFromString(nodes)
        message.versions.CopyFrom(graph._versions.to_proto())
        if graph._functions:
            message.library.function.extend(graph._functions.values())
            message.library.gradient.extend(graph._function_gradients.values())
            message.versions.min_consumer = max(message.versions.min_consumer, _FUNCTIONS_SINCE)
        note_own(graph, message)
    return message
