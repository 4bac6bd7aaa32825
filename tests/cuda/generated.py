"""Compiles the kernels that tests have made a simulated GPU ask for, and looks for spills.

`TFSESSION_CUDA_TEXTS=FOLDER pytest ...` leaves the texts in FOLDER; `generated.py FOLDER` compiles
them for the architectures of ARCHES. Without `--all` it is a choice of them, in which every
statement stands that stands in any, whatever numbers are in it. What has passed before is known by
its content, and not compiled again.
"""

import argparse
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import NamedTuple

from test_compiled import spilling

from tfsession.devices import code_cache
from tfsession.devices.code_cache import CodeCache
from tfsession.devices.nvrtc import CompilationError, compiler
from tfsession.kernels.cuda.expressions import DEVICE, PRELUDE

ARCHES = ("sm_80", "sm_90")
# Kernels that are compiled together; fewer would share less of what all of them include.
_TOGETHER = 24
_NUMBER = re.compile(r"\b0x[0-9a-f]+(?:\.[0-9a-f]*)?p[+-]?\d+f?|\b\d[\w.]*")
_NAME = re.compile(r"\b([a-z]+)\d+(?:_\w+)?\b")


class Generated(NamedTuple):
    """A kernel as `devices.code_texts` keeps it."""

    name: str
    options: tuple[str, ...]
    text: str

    def called(self, name):
        """The text under another name."""
        return re.sub(rf"\b(of_)?{self.name}\b", rf"\g<1>{name}", self.text)

    def statements(self):
        """Its lines without numbers, those in names among them."""
        lines = self.called("kernel").splitlines()
        return {_NAME.sub(r"\1", _NUMBER.sub("0", line.strip())) for line in lines}


def read(folder):
    """The kernels of a folder, each text once."""
    found = {}
    for path in sorted(Path(folder).glob("*.cu")):
        first, text = path.read_text(encoding="utf-8").split("\n", 1)
        name = re.match(r"namespace of_(\w+) \{", text)[1]
        kernel = Generated(name, tuple(first.removeprefix("// ").split()), text)
        found[kernel.options, kernel.called("kernel")] = kernel
    return list(found.values())


def covering(kernels):
    """Some of them, with every statement of all: those first that have most others lack."""
    sets = [kernel.statements() for kernel in kernels]
    seen, chosen = set(), []
    waiting = [(-len(statements), number) for number, statements in enumerate(sets)]
    heapify(waiting)
    while waiting:
        _, number = heappop(waiting)
        gain = len(sets[number] - seen)
        if waiting and gain < -waiting[0][0]:  # others may have more by now
            heappush(waiting, (-gain, number))
        elif gain:
            seen |= sets[number]
            chosen.append(kernels[number])
    return chosen


class Passed:
    """What has compiled without spills before, in a file of the cache of compiled kernels."""

    def __init__(self):
        self.path = code_cache.folder() / "no_spills.txt"
        self.known = set()
        if self.path.exists():
            self.known = set(self.path.read_text(encoding="ascii").split())

    @staticmethod
    def key(kernel, arch):
        return CodeCache.key(kernel.text, kernel.options, arch, compiler().version)

    def add(self, keys):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in keys)


def failures(job):
    """What is wrong with each kernel of a job that is not as it should be."""
    kernels, arch = job
    try:
        wrong = _spilling(kernels, arch)
    except CompilationError as error:
        if len(kernels) == 1:
            return [f"{kernels[0].name}: {error}"]
        return [text for kernel in kernels for text in failures(([kernel], arch))]
    return [f"{kernel.name} spills on {arch}:\n{kernel.text}" for kernel in wrong]


def _spilling(kernels, arch):
    # The name tells whose few bytes may be set aside.
    names = {f"{kernel.name}_{number}": kernel for number, kernel in enumerate(kernels)}
    texts = [kernel.called(name) for name, kernel in names.items()]
    text = "\n".join([DEVICE, PRELUDE, *texts])
    return [names[name] for name in spilling(text, list(names), arch, kernels[0].options)]


def jobs_of(kernels, passed):
    """Kernels to be compiled together, each with an architecture."""
    for arch in ARCHES:
        waiting = [k for k in kernels if passed.key(k, arch) not in passed.known]
        for options in sorted({kernel.options for kernel in waiting}):
            own = [kernel for kernel in waiting if kernel.options == options]
            for start in range(0, len(own), _TOGETHER):
                yield own[start : start + _TOGETHER], arch


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--all", action="store_true", help="compile every text")
    parser.add_argument("--least", type=int, default=1, help="fail where there are fewer texts")
    told, start = parser.parse_args(), time.monotonic()
    kernels = read(told.folder)
    chosen = kernels if told.all else covering(kernels)
    passed = Passed()
    jobs = list(jobs_of(chosen, passed))
    bad = []
    with ProcessPoolExecutor() as pool:
        for job, wrong in zip(jobs, pool.map(failures, jobs), strict=True):
            bad += wrong
            if not wrong:
                passed.add([passed.key(kernel, job[1]) for kernel in job[0]])
    for text in bad:
        print(text)
    count = sum(len(job[0]) for job in jobs)
    print(
        f"{len(kernels)} kernels were asked for; of {len(chosen)}, {count} compiled for "
        f"{' or '.join(ARCHES)} in {time.monotonic() - start:.0f} s, the others had passed before; "
        f"{len(bad)} are wrong"
    )
    if len(kernels) < told.least:
        print(f"at least {told.least} kernels should have been asked for")
    return bool(bad) or len(kernels) < told.least


if __name__ == "__main__":
    sys.exit(main())
