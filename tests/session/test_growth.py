"""Nothing is left of runs, failures, waits and sessions that are over: counted in objects.

`tests/bench/growth.py` measures the memory of a process over a million runs.
"""

import gc
import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without the interpreter's lock, objects of other threads die later",
)
growth = runpy.run_path(str(Path(__file__).parents[1] / "bench" / "growth.py"))


@pytest.fixture
def program(fresh_graph):
    made = growth["Program"]()
    yield made
    made.session.close()


@pytest.mark.parametrize("name", [name for name, _ in growth["ROWS"]])
def test_nothing_grows(program, name):
    work = getattr(program, name)
    for _ in range(3):  # what is made once
        work()
    gc.collect()
    gc.freeze()  # what is there need not be looked at
    before = _objects()
    for _ in range(20):
        work()
    left = _objects()
    left.subtract(before)
    # A step that is kept per run, per session or per error would show twenty times.
    assert not {kind: count for kind, count in left.items() if count >= 20}


def _objects():
    gc.collect()
    return Counter(type(found).__name__ for found in gc.get_objects())
