"""Changed files, read one after the other: `python tests/fuzz/fuzz.py --mutations 100000 --seed 1`.

Errors of `tf.errors`, ValueError and TypeError are what a damaged file may end in. All else is a
defect: other errors, an error of Python inside an op's kernel, more than a second of computing,
memory for what a file only claims. Each defect is told once, with what makes it again: its number.

The second is one of the processor, so that a busy machine finds nothing that a quiet one does not;
who waits for something that does not come is ended after minutes, with a traceback.
"""

import argparse
import contextlib
import faulthandler
import logging
import random
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import formats

import tfsession as tf

ALLOWED = (tf.errors.OpError, ValueError, TypeError)
SECONDS = 1.0
MEMORY = 1 << 30
# Of time on the wall: a process may be stopped for a while.
HANG_SECONDS = 300
# How the runtime tells that a kernel has raised what it should not.
_KERNEL = re.compile(r"^(\w+(?:Error|Exception)): (.{0,60})", re.M)
_PACKAGE = str(Path(tf.__file__).parent)


class TooLong(BaseException):
    """A file has kept the processor busy for more than a second."""


def _too_long(signum, frame):
    raise TooLong


@contextlib.contextmanager
def bounded(seconds, memory):
    """Let nothing in the block compute longer, or take more memory."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    used = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    before = signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory if used else limits[0], limits[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)


def _place(error):
    """Where in the library an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "fuzz" not in f.filename]
    last = next((f for f in reversed(own) if f.filename.startswith(_PACKAGE)), (own or frames)[-1])
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def defect_of(name, seed, number):
    """What is wrong with how a file is read, as a text and an error; None when nothing is."""
    rng = random.Random(f"{name}/{seed}/{number}")
    read = formats.FORMATS[name](rng)
    try:
        with bounded(SECONDS, MEMORY), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except ALLOWED as error:
        is_internal = isinstance(error, tf.errors.InternalError)
        found = _KERNEL.search(error.message) if is_internal else None
        if found:
            op = error.op.type if error.op is not None else ""
            return f"{found[1]} in a kernel of {op}: {found[2]}", error
        if isinstance(error, UnicodeError):
            return f"{type(error).__name__} at {_place(error)}", error
    except (Exception, TooLong) as error:
        # As TensorFlow has it: an OSError, and a RuntimeError.
        if not re.match("Cannot parse file|MetaGraphDef associated with tags", str(error)):
            return f"{type(error).__name__} at {_place(error)}", error
    return None


def main():
    """Change files until there are as many as asked for; the exit status tells of defects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", nargs="*", choices=list(formats.FORMATS))
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--trace", action="store_true", help="print the first error of each kind")
    parser.add_argument("--seconds", type=float, help="end after so much time")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    names = asked.only or [c.__name__ for c, turns in formats.TURNS.items() for _ in range(turns)]
    seen = Counter()
    start = time.monotonic()
    done = 0
    for done in range(1, asked.mutations + 1):
        number = asked.first + done - 1
        name = names[number % len(names)]
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        found = defect_of(name, asked.seed, number)
        if found is not None:
            text, error = f"{name}: {found[0]}", found[1]
            seen[text] += 1
            if seen[text] == 1:
                print(f"#{number} {text}: {str(error)[:200]!r}", flush=True)
                if asked.trace:
                    traceback.print_exception(error)
        if done % 5000 == 0:
            print(f"{done} in {time.monotonic() - start:.0f} s, {len(seen)} defects", flush=True)
        if asked.seconds and time.monotonic() - start > asked.seconds:
            break
    faulthandler.cancel_dump_traceback_later()
    print(f"{done} mutations, seed {asked.seed}, {len(seen)} kinds of defects:")
    for text, count in seen.most_common():
        print(f"{count:7} {text}")
    return bool(seen)


if __name__ == "__main__":
    sys.exit(main())
