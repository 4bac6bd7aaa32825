"""Forks: a child works with the sessions it has and with new ones, whatever threads were doing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tfsession.devices import cuda
from tfsession.devices.cuda import CudaDevice

SCRIPT = str(Path(__file__).with_name("forked.py"))
pytestmark = pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="no fork here")


@pytest.mark.parametrize(
    "what", [("busy", "16"), ("within",), ("pool",), ("ahead",), ("torn",)], ids=lambda w: w[0]
)
def test_a_child_works(what):
    """`busy` forks again and again while eight threads run steps."""
    command = [sys.executable, "-X", "faulthandler", "-W", "error", SCRIPT, *what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(what[0])


def test_a_cuda_device_says_that_it_was_left_behind(monkeypatch):
    """Without CUDA: what a child's device does once the parent's was used."""
    left: list = []
    monkeypatch.setattr(cuda, "_left_behind", left)
    monkeypatch.setattr(cuda, "_import_cupy", lambda: pytest.fail("CuPy was imported"))
    for started in (True, False):
        device = CudaDevice.__new__(CudaDevice)
        device._lock = cuda.forking.lock()
        device._closed = False
        device._cupy = object() if started else None
        device._card = device._pool = device._stream = object() if started else None
        device._stop = pytest  # a parent's memory, which nobody may write into
        device.after_fork()
        assert len(left) == 1
        with pytest.raises(Exception, match="forked from one that had used a CUDA device"):
            device.xp  # noqa: B018
        device.close()  # touches nothing
