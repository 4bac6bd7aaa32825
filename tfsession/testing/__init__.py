"""What programs test themselves with: ops by rows, and sessions on simulated GPUs.

rows: an op held to all that must be true of any op, from one row (see `Row`, `check_row`).
sessions: sessions with simulated GPUs that must give every byte back.
plugin: the pytest fixtures `simulated_session` and `tf_device`, there once tfsession is installed.

Parts load when a name is first asked for: pytest imports the plugin in every project. pytest itself
is needed by the plugin alone. See docs/testing.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfsession.core.dtypes import DType
    from tfsession.devices.counters import Counters, Counting
    from tfsession.testing.rows import (
        COMPLEX,
        FLOATS,
        INTS,
        NUMBERS,
        TOLERANCES,
        Input,
        Row,
        assert_close,
        assert_same,
        bools,
        build_row,
        case_name,
        check_gradient,
        check_row,
        floats,
        ints,
        row_cases,
        run_row,
        strings,
        value,
    )
    from tfsession.testing.sessions import (
        assert_all_returned,
        fresh_graph,
        has_cuda_gpu,
        make_simulated_session,
        simulated_session,
    )

__all__ = [
    "COMPLEX",
    "FLOATS",
    "INTS",
    "NUMBERS",
    "TOLERANCES",
    "Counters",
    "Counting",
    "DType",
    "Input",
    "Row",
    "assert_all_returned",
    "assert_close",
    "assert_same",
    "bools",
    "build_row",
    "case_name",
    "check_gradient",
    "check_row",
    "floats",
    "fresh_graph",
    "has_cuda_gpu",
    "ints",
    "make_simulated_session",
    "row_cases",
    "run_row",
    "simulated_session",
    "strings",
    "value",
]

_ELSEWHERE = {
    "tfsession.core.dtypes": ("DType",),
    "tfsession.devices.counters": ("Counters", "Counting"),
    "tfsession.testing.sessions": (
        *("assert_all_returned", "fresh_graph", "has_cuda_gpu"),
        *("make_simulated_session", "simulated_session"),
    ),
}
_HOME = {name: module for module, names in _ELSEWHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME.get(name, "tfsession.testing.rows")), name)
    globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
