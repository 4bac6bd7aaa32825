"""The command line, as a process of its own."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

GPU_VARIABLES = ("TFSESSION_SIMULATED_GPUS", "TFSESSION_DISABLE_GPU", "CUDA_VISIBLE_DEVICES")
PREFIX = "/job:localhost/replica:0/task:0/device:"
_COLUMNS = "Device,Type,Physical name,PCI bus id,Limit,Total,Free,CC,Usable"
COLUMNS = _COLUMNS.split(",")


def tfsession(*args, code=0, **variables):
    """What `tfsession ARGS` prints, (stdout, stderr); fails unless it exits with `code`."""
    environ = {key: value for key, value in os.environ.items() if key not in GPU_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tfsession", *args],
        env=environ | variables,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


SCHEMA = {
    "name": (str, type(None)),
    "device_type": str,
    "physical_name": str,
    "pci_bus_id": (str, type(None)),
    "memory_limit_bytes": (int, type(None)),
    "total_memory_bytes": (int, type(None)),
    "free_memory_bytes": (int, type(None)),
    "compute_capability": (str, type(None)),
    "usable": bool,
    "reason": str,
}


def listed(**variables):
    found = json.loads(tfsession("devices", "--json", **variables)[0])
    assert set(found) == {"devices", "note"}
    for row in found["devices"]:
        assert set(row) == set(SCHEMA)
        for key, kinds in SCHEMA.items():
            assert isinstance(row[key], kinds), key
        assert row["usable"] == (row["reason"] == "") == (row["name"] is not None)
    return found


def test_devices_without_a_gpu():
    found = listed(TFSESSION_DISABLE_GPU="1")
    (cpu,) = found["devices"]
    assert cpu["name"] == PREFIX + "CPU:0"
    assert cpu["memory_limit_bytes"] == 268435456
    assert cpu["physical_name"] != ""
    if sys.platform == "linux":
        assert cpu["total_memory_bytes"] > cpu["free_memory_bytes"] > 0
    assert found["note"] == "TFSESSION_DISABLE_GPU is set"


def test_devices_of_this_machine_whatever_it_is():
    found = listed()
    usable = [row["name"] for row in found["devices"] if row["usable"]]
    assert usable[0] == PREFIX + "CPU:0"
    assert usable[1:] == [f"{PREFIX}GPU:{i}" for i in range(len(usable) - 1)]
    assert found["note"] != "" or len(found["devices"]) > 1


def test_simulated_devices():
    found = listed(TFSESSION_SIMULATED_GPUS="2:256MiB")
    assert [row["name"] for row in found["devices"]] == [
        PREFIX + name for name in ("CPU:0", "GPU:0", "GPU:1")
    ]
    gpu = found["devices"][2]
    assert gpu["device_type"] == "GPU"
    assert gpu["physical_name"] == "Simulated GPU"
    assert gpu["memory_limit_bytes"] == gpu["total_memory_bytes"] == 256 << 20
    assert found["note"] == ""


def test_the_table():
    lines = tfsession("devices", TFSESSION_SIMULATED_GPUS="1:2GiB")[0].splitlines()
    assert len(lines) == 3
    starts = [lines[0].index(column) for column in COLUMNS]
    assert starts == sorted(starts)
    expected = [("CPU:0", "256 MiB"), ("GPU:0", "2.00 GiB")]
    for line, (name, limit) in zip(lines[1:], expected, strict=True):
        assert line.startswith(PREFIX + name)
        assert line[starts[4] :].startswith(limit)
        assert line[starts[8] :] == "yes"
        assert all(line[start - 1] == " " for start in starts[1:])


def test_the_table_says_why_there_is_no_gpu():
    last = tfsession("devices", CUDA_VISIBLE_DEVICES="")[0].splitlines()[-1]
    assert last == "No GPU: CUDA_VISIBLE_DEVICES hides every GPU."


def test_a_variable_that_cannot_be_read():
    out, err = tfsession("devices", code=2, TFSESSION_SIMULATED_GPUS="many")
    assert out == ""
    assert err.startswith("tfsession: TFSESSION_SIMULATED_GPUS must be")
    assert "Traceback" not in err


def test_env():
    text, _ = tfsession("env", TFSESSION_SIMULATED_GPUS="1")
    shown = dict(line.split(maxsplit=1) for line in text.splitlines() if line.split()[0] != "cuda")
    assert shown["numpy"] == np.__version__
    assert shown["python"].startswith(platform.python_version())
    assert shown["TFSESSION_SIMULATED_GPUS"] == "1"
    found = json.loads(tfsession("env", "--json")[0])
    for name in ("tfsession", "ml_dtypes", "protobuf", "cupy", "nvidia driver", "tensorflow"):
        assert found[name]


def test_version():
    version = json.loads(tfsession("env", "--json")[0])["tfsession"]
    assert tfsession("--version")[0] == f"tfsession {version}\n"


@pytest.mark.parametrize("args", [(), ("no-such-command",), ("devices", "--no-such-option")])
def test_misuse_shows_the_usage(args):
    out, err = tfsession(*args, code=2)
    assert out == ""
    assert err.startswith("usage: tfsession")


def test_help_names_the_commands():
    out, _ = tfsession("--help")
    assert "devices" in out
    assert "env" in out
