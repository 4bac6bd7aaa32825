"""The pytest plugin, in every project that has both installed: it loads tfsession when it is used.

simulated_session: makes sessions with simulated GPUs, in a graph of the test's own.
tf_device: the test runs on a CPU, on a simulated GPU, and on a CUDA GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tfsession import testing

if TYPE_CHECKING:
    from tfsession.session import Session

_raised = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Notes which tests raised: the traceback keeps their arrays, which is no leak."""
    if call.excinfo is not None:
        item.stash[_raised] = True


@pytest.fixture
def simulated_session(request: pytest.FixtureRequest) -> Iterator[Callable[..., Session]]:
    """Makes sessions: `session = simulated_session(gpus=2, memory="64MiB", config=None)`.

    The test has an empty default graph. Its sessions are closed after it, and it fails if any array
    of theirs is still alive then.
    """
    sessions: list[Session] = []

    def make(*args: Any, **kwargs: Any) -> Session:
        sessions.append(testing.make_simulated_session(*args, **kwargs))
        return sessions[-1]

    with testing.fresh_graph():
        yield make
    for session in sessions:
        session.close()
    if not request.node.stash.get(_raised, False):
        try:
            for session in sessions:
                testing.assert_all_returned(session)
        except AssertionError as error:
            told = str(error)
        else:
            return
        pytest.fail(told, pytrace=False)


@pytest.fixture(params=["cpu", "simulated", "cuda"])
def tf_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name for `tf.device`: a CPU's, then a simulated GPU's, then a CUDA GPU's, or a skip.

    Sessions that the test makes have that GPU without a configuration of their own; the test has an
    empty default graph.
    """
    if request.param == "cuda":
        if not testing.has_cuda_gpu():
            pytest.skip("no CUDA GPU that could be used")
        monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
    else:
        monkeypatch.delenv("TFSESSION_DISABLE_GPU", raising=False)
        monkeypatch.setenv("TFSESSION_SIMULATED_GPUS", "1:1GiB")
    with testing.fresh_graph():
        yield "/cpu:0" if request.param == "cpu" else "/gpu:0"
