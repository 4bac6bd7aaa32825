"""Runs generated CUDA C on the CPU: a batch of kernels becomes one program, by g++ and shim.h."""

import re
import subprocess
from dataclasses import dataclass

import numpy as np
from host_code import INCLUDE

from tfsession.devices.traced import dtype_named
from tfsession.kernels.cuda.body import Array
from tfsession.kernels.cuda.emit import calls
from tfsession.kernels.cuda.expressions import PRELUDE

# The loader of a sanitizer wants to be first; no leaks are looked for, as memory ends with it.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0", "PATH": "/usr/bin"}


def array_of(array):
    """How a NumPy array lies in memory."""
    strides = tuple(stride // array.itemsize for stride in array.strides)
    is_aligned = array.__array_interface__["data"][0] % 16 == 0
    return Array(array.dtype.name, array.shape, strides, is_aligned)


@dataclass
class Job:
    """A program with its inputs."""

    program: object
    inputs: list

    def __post_init__(self):
        self.calls = calls(self.program, [array_of(array) for array in self.inputs])


class Batch:
    """The kernels of some jobs, compiled at once."""

    def __init__(self, jobs, host_code, sanitized=False):
        self.jobs = jobs
        self.numbers = {}
        for job in jobs:
            for launch in job.calls.launches:
                self.numbers.setdefault(launch.source, (len(self.numbers), launch))
        kernels = [self._kernel(*own) for own in self.numbers.values()]
        entries = ", ".join([self._entry(*own) for own in self.numbers.values()])
        parts = [INCLUDE, PRELUDE, *kernels]
        parts.append(f"static const Entry entries[] = {{{entries}}};")
        parts.append("int main() { return serve(entries); }")
        flags = []
        if sanitized:
            # Integers wrap around, as on the machine.
            flags += ["-fsanitize=address,undefined", "-fno-sanitize=signed-integer-overflow"]
            flags += ["-fno-sanitize=shift,float-cast-overflow,float-divide-by-zero"]
        self.path = host_code.compiled("\n".join(parts), *flags)

    @staticmethod
    def _kernel(number, launch):
        text = launch.source.replace('extern "C" ', "")
        taken = []
        for place, argument in enumerate(launch.arguments):
            kind = argument.declaration.rsplit(" ", 1)[0].replace("__restrict__", "")
            if argument.value >= 0:
                taken.append(f"({kind})a[{place}]")
            else:
                taken.append(f"(I)*(long long*)a[{place}]")
        call = f"static void call(void** a) {{ {launch.name}({', '.join(taken)}); }}"
        return f"namespace k{number} {{\n{text}{call}\n}}"

    @staticmethod
    def _entry(number, launch):
        meets = re.search(r"__syncthreads|shuffled", launch.source) is not None
        return f"{{k{number}::call, {str(meets).lower()}}}"

    def results(self, jobs=None, from_last=False):
        """For each job, or each of these, its results as arrays."""
        self.buffers, launches = [], []
        wanted = []
        for job in self.jobs if jobs is None else jobs:
            first = {}
            for number, array in enumerate(job.inputs):
                whole = array if array.base is None else array.base
                begin = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
                first[number] = self._buffer(whole), begin
            # What is written in place goes to these inputs.
            into = zip(job.calls.results, getattr(job, "into", ()), strict=False)
            places = {result: first[number] for result, number in into}
            for number, value in job.calls.buffers.items():
                if number in places:
                    first[number] = places[number]
                    continue
                made = np.empty(value.shape, dtype_named(value.dtype))
                made.reshape(-1).view(np.uint8)[...] = 0xCB
                first[number] = self._buffer(made), 0
            launches += [self._launch(launch, first) for launch in job.calls.launches]
            wanted.append([first[number][0] for number in job.calls.results])
        found = self._run(launches, from_last)
        return [[found[index] for index in indices] for indices in wanted]

    def _buffer(self, array):
        self.buffers.append(array)
        return len(self.buffers) - 1

    def _launch(self, launch, places):
        numbers = [
            self.numbers[launch.source][0],
            *launch.grid,
            *launch.block,
            len(launch.arguments),
        ]
        for argument in launch.arguments:
            numbers += places[argument.value] if argument.value >= 0 else (-1, argument.number)
        return np.array(numbers, np.int64).tobytes()

    def _run(self, launches, from_last):
        parts = [np.array([from_last, len(self.buffers)], np.int64).tobytes()]
        for array in self.buffers:
            parts += [np.int64(array.nbytes).tobytes(), array.tobytes()]
        parts += [np.int64(len(launches)).tobytes(), *launches]
        done = subprocess.run(
            [str(self.path)],
            input=b"".join(parts),
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
        )
        assert not done.returncode, done.stderr.decode()[:4000]
        found, begin = [], 0
        for array in self.buffers:
            own = np.frombuffer(done.stdout, np.uint8, array.nbytes, begin)
            found.append(own.view(array.dtype).reshape(array.shape))
            begin += array.nbytes
        return found
