"""cuDNN, where it is installed with its front end for Python: graphs of its operations.

A graph is described once for the sizes of its tensors, and planned: the library proposes engines,
of which the first is taken that can be built, is deterministic, and wants no more memory than it
may have. Plans run on CuPy's current stream, with memory that is taken from `xp.empty`, so that a
stream that captures may record them; what has no plan yet gets none while one does.

Where the front end, the library or a plan fails, there is no plan: callers have ways of their own.
Names are those of the package `nvidia-cudnn-frontend`, 1.18 to 1.28.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from tfsession.core import forking

__all__ = ["SWITCH", "Describe", "GraphLibrary", "GraphPlan", "description", "graph_library"]

SWITCH = "TFSESSION_CUDNN"
# The version of the library that has the graphs of today: 9.0.
_OLDEST = 90000
_DTYPES = {
    "float16": "HALF",
    "bfloat16": "BFLOAT16",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
# The most memory that a plan may have beside its tensors.
_WORKSPACE = 256 << 20
_MOST_PLANS = 1024

_log = logging.getLogger("tfsession")

# What adds operations to a graph; it is given this, and the type of its numbers.
Describe = Callable[[Any, Any], None]


class GraphPlan:
    """A graph that can run."""

    def __init__(self, library: GraphLibrary, graph: Any) -> None:
        self._library, self._graph = library, graph
        self._room = int(graph.get_workspace_size())

    def run(self, xp: Any, arrays: Mapping[int, Any]) -> None:
        """Queue it for arrays by the numbers of their tensors; those of results are written."""
        room = xp.empty(max(self._room, 1), np.uint8)
        addresses = {number: int(array.data.ptr) for number, array in arrays.items()}
        self._library.execute(xp, self._graph, addresses, int(room.data.ptr))


class GraphLibrary:
    """The library on one card, with the plans that were made there."""

    def __init__(self, frontend: Any) -> None:
        self.frontend = frontend
        self._handle = frontend.create_handle()
        self._lock = forking.rlock()
        self._plans: dict[Hashable, GraphPlan | None] = {}

    def plan(
        self, xp: Any, key: Hashable, dtype: str, describe: Describe, *, is_exact: bool = False
    ) -> GraphPlan | None:
        """The plan of the graph that `describe` makes; None where there is none.

        Args:
            xp: the module of the arrays.
            key: what tells the graph from others.
            dtype: of its tensors; halves are summed in float32.
            describe: adds its operations.
            is_exact: whether float32 may not be rounded before it is multiplied.
        """
        key = key, dtype, is_exact
        if key in self._plans:
            return self._plans[key]
        if dtype not in _DTYPES or xp.cuda.get_current_stream().is_capturing():
            return None
        with self._lock:
            if key not in self._plans:
                while len(self._plans) >= _MOST_PLANS:
                    del self._plans[next(iter(self._plans))]
                most = min(_WORKSPACE, getattr(xp, "room", _WORKSPACE))
                self._plans[key] = self._made(dtype, describe, is_exact, most)
            return self._plans[key]

    def drop(self, plan: GraphPlan) -> None:
        """Use a plan no more, as it has failed."""
        for key, known in self._plans.items():
            if known is plan:
                self._plans[key] = None

    def _made(self, dtype: str, describe: Describe, is_exact: bool, most: int) -> GraphPlan | None:
        frontend = self.frontend
        kinds, notes = frontend.data_type, frontend.numerical_note
        own = getattr(kinds, _DTYPES[dtype])
        sums = kinds.DOUBLE if dtype == "float64" else kinds.FLOAT
        avoided = [notes.NONDETERMINISTIC]
        if is_exact:
            avoided += [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS]
        try:
            graph = frontend.pygraph(
                io_data_type=own,
                intermediate_data_type=sums,
                compute_data_type=sums,
                handle=self._handle,
            )
            describe(graph, own)
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([frontend.heur_mode.A, frontend.heur_mode.FALLBACK])
            graph.deselect_numeric_notes(avoided)
            graph.deselect_workspace_greater_than(most)
            graph.check_support()
            graph.build_plans()
            return GraphPlan(self, graph)
        except Exception as error:  # of classes of its own, by what went wrong
            _log.info("cuDNN has no plan: %s", error)
            return None

    def execute(self, xp: Any, graph: Any, addresses: Mapping[int, int], room: int) -> None:
        """Queue a graph; one thread at a time tells the library which stream is meant."""
        with self._lock:
            self.frontend.set_stream(
                handle=self._handle, stream=int(xp.cuda.get_current_stream().ptr)
            )
            graph.execute(dict(addresses), room, handle=self._handle)


_libraries: dict[int, GraphLibrary | None] = {}
_lock = forking.lock()


def graph_library(xp: Any) -> GraphLibrary | None:
    """The library for arrays of `xp` on the current card; None where there is none."""
    if getattr(xp, "__name__", "") != "cupy" or _frontend() is None:
        return None
    number = xp.cuda.runtime.getDevice()
    if number not in _libraries:
        if xp.cuda.get_current_stream().is_capturing():
            return None
        with _lock:
            if number not in _libraries:
                _libraries[number] = _made(_frontend())
    return _libraries[number]


def _made(frontend: Any) -> GraphLibrary | None:
    try:
        return GraphLibrary(frontend)
    except Exception as error:
        _log.warning("cuDNN is not used: %s", error)
        return None


@cache
def _frontend() -> Any:
    """The front end, if it is wanted and has found a library that is new enough."""
    if not _is_wanted() or find_spec("cudnn") is None:
        return None
    try:
        import cudnn  # noqa: PLC0415  it loads the library, for those who use a GPU

        return cudnn if int(cudnn.backend_version()) >= _OLDEST else None
    except Exception as error:  # it is not whole, or there is no library
        _log.info("cuDNN is not used: %s", error)
        return None


def _is_wanted() -> bool:
    return os.environ.get(SWITCH, "1").strip().lower() not in ("0", "false")


def description() -> str:
    """The library in a line, or why there is none; makes no CUDA context."""
    if find_spec("cudnn") is None:
        return "not installed"
    if not _is_wanted():
        return f"not used, {SWITCH}=0"
    frontend = _frontend()
    if frontend is None:
        return "its front end finds no library"
    version = int(frontend.backend_version())
    return f"cuDNN {version // 10000}.{version // 100 % 100}.{version % 100}"
