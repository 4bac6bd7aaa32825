"""Sessions with simulated GPUs, for tests: a limit that holds, and memory that comes back.

with simulated_session(gpus=2, memory="64MiB") as session:
    with session.counting() as counted:
        session.run(step)
assert counted["/gpu:1"].device_to_host == 1
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import tfsession as tf
from tfsession.devices.layout import find_gpus
from tfsession.session import BaseSession, Session


def fresh_graph() -> AbstractContextManager[Any]:
    """An empty graph that is the default in a `with` block."""
    manager: AbstractContextManager[Any] = tf.Graph().as_default()
    return manager


def make_simulated_session(
    gpus: int = 1, memory: int | str = "256MiB", config: Any = None, graph: Any = None
) -> Session:
    """A session with simulated GPUs, whatever the machine has.

    Args:
        gpus: how many.
        memory: what each has, in bytes or as "256MiB".
        config: a ConfigProto with whatever else is wanted; it is copied.
        graph: the graph to run; the default one when None.

    Raises:
        InvalidArgumentError: the configuration leaves another number of GPUs, or
            TFSESSION_DISABLE_GPU is set.
    """
    own = tf.ConfigProto()
    if config is not None:
        own.CopyFrom(config)
    own.device_options.simulated_gpus = f"{gpus}:{memory}"
    session = tf.Session(graph=graph, config=own)
    if gpus and not _gpus_of(session):
        session.close()
        raise tf.errors.InvalidArgumentError(
            None, None, "No simulated GPU is left: see device_count and TFSESSION_DISABLE_GPU"
        )
    return session  # type: ignore[no-any-return]


@contextmanager
def simulated_session(
    gpus: int = 1, memory: int | str = "256MiB", config: Any = None, graph: Any = None
) -> Iterator[Session]:
    """As `make_simulated_session`: the default session in a `with` block, closed at its end.

    Raises AssertionError where the block ended well, and memory did not come back: see
    `assert_all_returned`.
    """
    session = make_simulated_session(gpus, memory, config, graph)
    try:
        with session.as_default():
            yield session
    finally:
        session.close()
    assert_all_returned(session)


def assert_all_returned(session: BaseSession) -> None:
    """Close a session; AssertionError if arrays of its simulated GPUs outlive it.

    The error tells which operations made them. They were fetched with `device_fetches` and are held
    by the program still, or it is a mistake of tfsession.
    """
    session.close()
    if _left_on(session):
        gc.collect()  # what only a cycle holds comes back, too, where memory is short
        if left := _left_on(session):
            raise AssertionError("After close() arrays are still alive: " + "; ".join(left))


def _gpus_of(session: BaseSession) -> list[Any]:
    return [d for d in session._engine.devices.devices if d.device_type == "GPU"]


def _left_on(session: BaseSession) -> list[str]:
    """What each device still holds, and who made it."""
    return [
        f"{holding.nbytes} bytes of {holding.op} ({holding.op_type}), {holding.tensors} in number, "
        f"on {name.rpartition('device:')[2]}"
        for name, stats in session.memory_stats().items()
        if stats is not None
        for holding in stats.live
    ]


def has_cuda_gpu() -> bool:
    """Whether a session could use a CUDA GPU here; asking makes no context."""
    environ = {
        name: text for name, text in os.environ.items() if name != "TFSESSION_SIMULATED_GPUS"
    }
    return bool(find_gpus(environ).usable)
