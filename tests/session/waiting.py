"""Ops for tests of steps that wait or compute for long; also loaded by the scripts they start.

`StoppingWait` gives its input once `go()` is called, `StoppingStubborn` never. `StoppingPause`
takes some milliseconds, and tells `paused` and `pauses`; `StoppingFail` fails; `StoppingCount`
notes in `most` how many of its kind are under way; `StoppingWatched` keeps weak references in
`seen`.
"""

import threading
import time
import weakref
from contextlib import suppress

from tfsession.core.errors import CancelledError, InvalidArgumentError
from tfsession.core.op_def import define_op
from tfsession.core.pending import Pending
from tfsession.core.rules import kernel, no_gradient
from tfsession.graph.create import create_op

define_op("StoppingWait", ["x: float"], ["y: float"])
define_op("StoppingStubborn", ["x: float"], ["y: float"])
define_op("StoppingPause", ["x: float"], ["y: float"], ["ms: int = 5"], stateful=True)
define_op("StoppingFail", ["x: float"], ["y: float"])
define_op("StoppingCount", ["x: float"], ["y: float"])
define_op("StoppingWatched", ["x: float"], ["y: float"])
no_gradient(
    "StoppingWait",
    "StoppingStubborn",
    "StoppingPause",
    "StoppingFail",
    "StoppingCount",
    "StoppingWatched",
)

# What waits, with its value; whoever takes a pair out completes it.
waits: list = []
paused = threading.Event()
pauses: list = []
most: list = []
seen: list = []
_under_way: list = []


def take():
    """The wait that began first; waits until there is one."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            return waits.pop(0)
        except IndexError:
            time.sleep(0.0005)
    raise AssertionError("nothing waits")


def go():
    """Let the wait that began first end well; False when it was cancelled at this moment."""
    pending, value = take()
    return pending.succeed(value)


def until_waiting(count=1):
    """Return when so many operations wait."""
    until = time.monotonic() + 30
    while len(waits) < count:
        assert time.monotonic() < until, "nothing waits"
        time.sleep(0.0005)


def _give_up(pending):
    for pair in [pair for pair in list(waits) if pair[0] is pending]:
        with suppress(ValueError):  # taken at this moment
            waits.remove(pair)
    pending.fail(CancelledError(None, None, "Wait operation was cancelled"))


@kernel("StoppingWait", blocking=True)
def _wait(xp, x):
    pending = Pending(_give_up)
    waits.append((pending, x))
    return pending


@kernel("StoppingStubborn", blocking=True)
def _stubborn(xp, x):
    """Waits for ever, and does not hear of the end."""
    waits.append((Pending(lambda pending: None), x))
    return waits[-1][0]


@kernel("StoppingPause")
def _pause(xp, x, *, ms):
    paused.set()
    pauses.append(ms)
    time.sleep(ms / 1e3)
    return x + 1


@kernel("StoppingFail")
def _fail(xp, x):
    raise InvalidArgumentError(None, None, "failed on purpose")


@kernel("StoppingCount")
def _count(xp, x):
    _under_way.append(x)
    most.append(len(_under_way))
    time.sleep(0.001)
    _under_way.pop()
    return x + 1


@kernel("StoppingWatched")
def _watched(xp, x):
    made = x + 1
    seen.append(weakref.ref(made))
    return made


def wait(x, name=None):
    return create_op("StoppingWait", [x], name=name)


def stubborn(x, name=None):
    return create_op("StoppingStubborn", [x], name=name)


def pause(x, ms=5, name=None):
    return create_op("StoppingPause", [x], {"ms": ms}, name=name)


def fail(x, name=None):
    return create_op("StoppingFail", [x], name=name)


def count(x):
    return create_op("StoppingCount", [x])


def watched(x):
    return create_op("StoppingWatched", [x])
