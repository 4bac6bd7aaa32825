"""All that is generated compiles for cards of today, and leaves no number out of the registers."""

import platform
import re
import sys

import pytest
from cases import at_random, program_of, reductions, shapes, single_functions
from on_cpu import Job

from tfsession.devices import cuda_conditional
from tfsession.devices.nvrtc import CompilationError, compiler
from tfsession.kernels.cuda.emit import OPTIONS, module

# NVRTC has wheels there, and is installed with the tests: without it they fail.
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)

# Functions of NVIDIA's library that keep a few bytes of their own aside.
OWN_SPILLS = ("fmod", "remainder", "arcsin")
SINGLE = ("bool", "uint8", "int32", "int64", "float32", "float64")


def _launches():
    for _, function, arrays in (*shapes(), *reductions(), *at_random(range(60))):
        yield from Job(program_of(function, *arrays), arrays).calls.launches
    for _, dtype, program, arrays in single_functions():
        if dtype in SINGLE:
            yield from Job(program, arrays).calls.launches


def compiled_without_spills(launches, arch, options=OPTIONS):
    """The names of the kernels, all of which compile, and keep their numbers in registers."""
    found = compiler()
    assert found is not None, "NVRTC is not installed"
    text, names = module(launches)
    compiled = found.compile(text, "kernels", arch, [*options, "--ptxas-options=-v"])
    assert compiled.cubin.startswith(b"\x7fELF")
    seen = dict(_spills(compiled.log))
    assert set(seen) == set(names)
    spilled = {name: count for name, count in seen.items() if count}
    assert [n for n in spilled if not any(own in n for own in OWN_SPILLS)] == []
    return set(names)


def _spills(log):
    """(kernel, bytes) of what does not stay in registers."""
    kernel = None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match.group(1)
        if match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            yield kernel, int(match.group(1)) + int(match.group(2))


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_all_kernels_compile_without_spills(arch):
    assert len(compiled_without_spills(list(_launches()), arch)) > 300


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_what_sets_conditions_compiles(arch):
    """The driver itself knows the function that sets them: it stays open in the code."""
    found = compiler()
    assert found is not None, "NVRTC is not installed"
    options = [*cuda_conditional.OPTIONS, "--ptxas-options=-v"]
    compiled = found.compile(cuda_conditional.SOURCE, "conditions", arch, options)
    spills = dict(_spills(compiled.log))
    assert spills == dict.fromkeys(cuda_conditional.NAMES, 0)
    assert b"cudaGraphSetConditional" in compiled.cubin


def test_errors_name_the_kernel_and_hold_what_the_compiler_says():
    with pytest.raises(CompilationError, match=r"kernel some_name .* sm_90:\n.*undefined"):
        compiler().compile("__global__ void f() { g(); }", "some_name", "sm_90")
    with pytest.raises(CompilationError):
        compiler().compile("", "some_name", "sm_1")
