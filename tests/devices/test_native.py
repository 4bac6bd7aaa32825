"""LLVM: compiled code is kept, and what cannot be compiled or is not wanted is left alone."""

import subprocess
import sys

import numpy as np
import pytest

from tfsession.devices import native
from tfsession.devices.native_ufunc import native_ufunc

pytestmark = pytest.mark.llvm

ADD = """
define void @twice(ptr %places, ptr %counts, ptr %steps, ptr %none) {
  %source = load ptr, ptr %places
  %next = getelementptr ptr, ptr %places, i64 1
  %target = load ptr, ptr %next
  %value = load double, ptr %source
  %sum = fadd double %value, %value
  store double %sum, ptr %target
  ret void
}
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A compiler with a cache of its own, and how often it compiles."""
    monkeypatch.setenv("TFSESSION_CACHE_DIR", str(tmp_path))
    found, counted = native._compiler.__wrapped__(), []
    compiled = found._compiled
    monkeypatch.setattr(found, "_compiled", lambda source: counted.append(1) or compiled(source))
    return found, counted, tmp_path


def test_code_is_compiled_once_and_kept(kept):
    compiler, counted, folder = kept
    kinds = [np.dtype(np.float64)]
    for _ in range(2):
        (address,) = compiler.addresses(ADD, ["twice"])
        assert native_ufunc("twice", address, kinds, kinds)(np.array(1.5)) == 3.0
    assert len(counted) == 1
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-9])  # a file that is not whole is as good as none
    compiler.addresses(ADD, ["twice"])
    assert len(counted) == 2


def test_text_that_llvm_refuses(kept):
    with pytest.raises(RuntimeError, match="expected"):
        kept[0].addresses("define nothing", ["nothing"])


def test_a_ufunc_as_numpy_has_them(kept):
    kinds = [np.dtype(np.float64)]
    (address,) = kept[0].addresses(ADD, ["twice"])
    twice = native_ufunc("twice", address, kinds, kinds)
    assert (twice.__name__, twice.nin, twice.nout, twice.types) == ("twice", 1, 1, ["d->d"])
    with pytest.raises(TypeError):
        twice(np.array("text"))


@pytest.mark.parametrize(("value", "line"), [("0", "not used, TFSESSION_LLVM=0"), ("1", "LLVM ")])
def test_the_switch(value, line, monkeypatch):
    code = (
        "import sys, numpy as np, tfsession as tf\n"
        "from tfsession.devices import native\n"
        "with tf.device('/cpu:0'), tf.Session() as session:\n"
        "    print(session.run(tf.exp(np.float32([0]))))\n"
        "print('llvmlite' in sys.modules, native.description())\n"
    )
    monkeypatch.setenv(native.SWITCH, value)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[1.]"
    assert second.startswith(f"{value == '1'} {line}")
