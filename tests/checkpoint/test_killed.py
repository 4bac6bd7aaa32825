"""A process killed in mid-save leaves the checkpoint before, or the new one.

python tests/checkpoint/killed.py --rounds 1000 --seed 2    does so for some minutes
"""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("killed.py")


def test_the_latest_checkpoint_is_whole():
    command = [sys.executable, str(SCRIPT), "--rounds", "24", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"24 kills, .* whole each time", done.stdout)
