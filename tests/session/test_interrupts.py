"""Ctrl-C: what it ends, and that nothing stays locked or half-done; in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).with_name("interrupted.py"))
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to a thread")


def _run(*arguments):
    command = [sys.executable, "-X", "faulthandler", SCRIPT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


def test_a_step_ends_wherever_it_is():
    lines = _run("each")
    assert len(lines) == 13
    for line in lines:
        # Far more than it takes; a wait for what does not end would take longer.
        assert float(line.split(": ")[-1].split()[0]) < 2000, line


def test_a_session_survives_interrupts_at_any_moment():
    assert _run("storm", "120")[0].startswith("storm: ")


def test_loading_can_be_interrupted():
    assert _run("loading") == ["loading: well"]
