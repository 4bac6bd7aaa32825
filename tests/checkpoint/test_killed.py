"""A process killed in mid-save leaves the checkpoint before, or the new one: see killed.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed.py")


@pytest.mark.parametrize(
    ("rounds", "seed"), [(24, 1), pytest.param(1000, 2, marks=pytest.mark.slow)]
)
def test_the_latest_checkpoint_is_whole(rounds, seed):
    command = [sys.executable, str(SCRIPT), "--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(rf"{rounds} kills, .* whole each time", done.stdout)
