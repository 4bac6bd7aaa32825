"""The command line as a process of its own."""

import os
import subprocess
import sys

import pytest

GPU_VARIABLES = ("TFSESSION_SIMULATED_GPUS", "TFSESSION_DISABLE_GPU", "CUDA_VISIBLE_DEVICES")
COLOURS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")


def environment(**variables):
    left_out = {*GPU_VARIABLES, *COLOURS}
    return {key: value for key, value in os.environ.items() if key not in left_out} | variables


@pytest.fixture
def environ():
    """The environment of a command, with these variables and no other that matters to it."""
    return environment


@pytest.fixture
def tfsession():
    """What `tfsession ARGS` prints, (stdout, stderr); fails unless it exits with `code`."""

    def run(*args, code=0, **variables):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tfsession", *args], check=False, timeout=100,
            env=environment(**variables), capture_output=True, text=True, encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    return run
