"""A commit that makes a step do more is seen, on any machine: counts beside the table kept here."""

import json
import subprocess
import sys
from pathlib import Path

import counters
import numpy as np
import pytest

UPDATE = "`bash ci/counters` writes the table anew; its diff belongs to the commit that explains it"


@pytest.fixture(scope="module")
def found():
    """Counted in a process of its own, whose handler of memory ends with it."""
    program = Path(counters.__file__)
    done = subprocess.run(
        [sys.executable, str(program), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_step_does_more_than_it_did(found):
    kept = counters.load()
    assert kept, f"{counters.TABLE} cannot be read; {UPDATE}"
    for what in ("system", "numpy"):
        if kept["versions"][what] != found["versions"][what]:
            pytest.skip(f"the table is of {kept['versions']}, here is {found['versions']}")
    changes = {what: lines for what, lines in counters.compare(kept, found).items() if lines}
    text = "".join(f"\n  {what}: {line}" for what, lines in changes.items() for line in lines)
    assert not changes, (
        f"steps do more, or less, than tests/bench/counters.json says{text}\n{UPDATE}"
    )


def test_memory_is_counted():
    def step():
        first = np.zeros(1_000_000, np.float32)
        second = first + first
        del first
        return second.size + np.zeros(10).size

    counted = counters.Memory().counts(step)
    assert counted == {"arrays": 3, "bytes": 8_000_080, "peak": 8_000_000}


KEPT = {"versions": {"python": "3.11"}, "works": {"a": dict.fromkeys(counters.KINDS, 100)}}


@pytest.mark.parametrize(
    ("calls", "python", "kind", "expected"),
    [
        (100, "3.11", "calls", None),
        (103, "3.11", "calls", None),
        (104, "3.11", "calls", "worse"),
        (89, "3.11", "calls", "better"),
        (90, "3.11", "calls", None),
        (1124, "3.11", "bytes", None),
        (1125, "3.11", "bytes", "worse"),
        (200, "3.11", "lines", "worse"),
        (200, "3.12", "lines", None),
    ],
)
def test_changes_are_named(calls, python, kind, expected):
    works = {"a": KEPT["works"]["a"] | {kind: calls}}
    changes = counters.compare(KEPT, {"versions": {"python": python}, "works": works})
    assert [what for what, lines in changes.items() if lines] == ([expected] if expected else [])


def test_a_work_without_a_row_is_named():
    found = {"versions": KEPT["versions"], "works": {"b": KEPT["works"]["a"]}}
    assert counters.compare(KEPT, found)["new or gone"] == ["a", "b"]
