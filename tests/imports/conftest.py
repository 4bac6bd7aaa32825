"""Programs as processes of their own: under plain `python`, and by `tfsession run`."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture
def scripts():
    return SCRIPTS


def _run(words, cwd):
    return subprocess.run(
        [sys.executable, *map(str, words)], check=False, timeout=100, cwd=cwd, capture_output=True,
        text=True, encoding="utf-8", stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def plainly():
    """What `python WORDS` does."""
    return lambda *words, cwd=SCRIPTS: _run(words, cwd)


@pytest.fixture
def tfsession_run():
    """What `tfsession run WORDS` does; every warning is an error."""
    before = ("-W", "error", "-m", "tfsession", "run")
    return lambda *words, cwd=SCRIPTS: _run((*before, *words), cwd)
