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

# Functions of NVIDIA's library that keep a few bytes of their own aside, and what some others, as
# exp of doubles, do where three quarters of the registers are free.
OWN_SPILLS = ("fmod", "remainder", "arcsin")
FEW_REGISTERS, FEW_BYTES = 64, 64
SINGLE = ("bool", "uint8", "int32", "int64", "float32", "float64")


def _launches():
    for _, function, arrays in (*shapes(), *reductions(), *at_random(range(60))):
        yield from Job(program_of(function, *arrays), arrays).calls.launches
    for _, dtype, program, arrays in single_functions():
        if dtype in SINGLE:
            yield from Job(program, arrays).calls.launches


def compiled_without_spills(launches, arch, options=OPTIONS):
    """The names of the kernels, all of which compile, and keep their numbers in registers."""
    text, names = module(launches)
    assert spilling(text, names, arch, options) == []
    return set(names)


def spilling(text, names, arch, options):
    """Compile kernels; gives the names of those that keep numbers outside of the registers."""
    found = compiler()
    assert found is not None, "NVRTC is not installed"
    compiled = found.compile(text, "kernels", arch, [*options, "--ptxas-options=-v"])
    assert compiled.cubin.startswith(b"\x7fELF")
    seen = {name: count for name, count, _ in _spills(compiled.log)}
    assert set(seen) == set(names)
    spilled = [
        name
        for name, count, registers in _spills(compiled.log)
        if count > (FEW_BYTES if registers <= FEW_REGISTERS else 0)
    ]
    return [name for name in spilled if not any(own in name for own in OWN_SPILLS)]


def _spills(log):
    """(kernel, bytes, registers): how much does not stay in registers, and how many it uses."""
    kernel, count = None, 0
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match.group(1)
        if match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            count = int(match.group(1)) + int(match.group(2))
        if match := re.search(r"Used (\d+) registers", line):
            yield kernel, count, int(match.group(1))


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_all_kernels_compile_without_spills(arch):
    assert len(compiled_without_spills(list(_launches()), arch)) > 300


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_what_sets_conditions_compiles(arch):
    """The driver itself knows the function that sets them: it stays open in the code."""
    names, options = cuda_conditional.NAMES, cuda_conditional.OPTIONS
    assert spilling(cuda_conditional.SOURCE, names, arch, options) == []
    compiled = compiler().compile(cuda_conditional.SOURCE, "conditions", arch, options)
    assert b"cudaGraphSetConditional" in compiled.cubin


def test_errors_name_the_kernel_and_hold_what_the_compiler_says():
    with pytest.raises(CompilationError, match=r"kernel some_name .* sm_90:\n.*undefined"):
        compiler().compile("__global__ void f() { g(); }", "some_name", "sm_90")
    with pytest.raises(CompilationError):
        compiler().compile("", "some_name", "sm_1")
