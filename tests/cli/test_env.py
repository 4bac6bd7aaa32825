"""`tfsession env`: what it tells, and what it must not."""

import json
import platform
import re
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfsession.cli import env
from tfsession.cli.main import main

ROOT = Path(__file__).parents[2]
FAKE = SimpleNamespace(**runpy.run_path(str(ROOT / "tests/devices/fake_nvml.py")))
UUID = "GPU-0000aaaa-0000-0000-0000-000000000000"


def test_the_text(tfsession):
    text, _ = tfsession("env", TFSESSION_SIMULATED_GPUS="1:2GiB")
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines() if "  " in line)
    assert shown["numpy"] == np.__version__
    assert shown["python"].startswith(platform.python_version())
    assert shown["TFSESSION_SIMULATED_GPUS"] == "1:2GiB"
    devices = [line.split(maxsplit=1)[1] for line in text.splitlines() if line[:6] == "device"]
    assert devices[0].startswith("/device:CPU:0 ")
    assert devices[1] == "/device:GPU:0 Simulated GPU, 2.0 GiB, limit 2.0 GiB"


def test_the_json(tfsession):
    found = json.loads(tfsession("env", "--json")[0])
    schema = runpy.run_path(str(Path(__file__).with_name("test_devices.py")))
    schema["check_against"](schema["documented"]("tfsession env"), found)
    assert found["schema_version"] == env.SCHEMA_VERSION == 1
    for name in (
        "tfsession",
        "onednn",
        "llvm",
        "cublaslt",
        "cudnn",
        "ml_dtypes",
        "protobuf",
        "cupy",
        "nvidia driver",
        "tensorflow",
    ):
        assert found["versions"][name]


def test_a_variable_that_cannot_be_read(tfsession):
    out, err = tfsession("env", code=2, TFSESSION_SIMULATED_GPUS="many")
    assert (out, err.split(" must")[0]) == ("", "tfsession: TFSESSION_SIMULATED_GPUS")


def test_cards(monkeypatch, capsys):
    for name in ("TFSESSION_SIMULATED_GPUS", "TFSESSION_DISABLE_GPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUID)
    machine = partial(FAKE.install, put=monkeypatch.setattr)
    machine([FAKE.card(0), FAKE.card(1)])
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert "/device:GPU:0 NVIDIA H200, 141.0 GiB, limit 138.2 GiB, compute capability 9.0" in text
    assert "- NVIDIA H200, 141.0 GiB, compute capability 9.0: not used, hidden by" in text
    assert re.search(r"^CUDA_VISIBLE_DEVICES +GPU-<removed>$", text, re.MULTILINE)
    assert "aaaa" not in text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (UUID, "GPU-<removed>"),
        ("GPU-12ab,GPU-34cd", "GPU-<removed>,GPU-<removed>"),
        ("MIG-0000aaaa-0000-0000-0000-000000000000", "MIG-<removed>"),
        ("MIG-GPU-12ab34cd/1/0", "MIG-GPU-<removed>"),
        ("0000aaaa-0000-0000-0000-000000000000", "<removed>"),
        ("0,1", "0,1"),
        ("2:256MiB", "2:256MiB"),
        ("/" + "home/ann/cache", "<removed>"),
        ("a=/srv/ann, b=~ann/x", "a=<removed>, b=<removed>"),
        (r"C:\Users\ann\x", "<removed>"),
        ("grpc://node7.lab:2222", "<removed>"),
        ("on node7.lab and node7, not node70", "on <removed> and <removed>, not node70"),
        ("Linux-6.1-x86_64-with-glibc2.36", "Linux-6.1-x86_64-with-glibc2.36"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"),
    ],
)
def test_what_is_removed(text, left):
    assert env.without_private(text, "node7.lab") == left


def test_a_host_of_no_name_removes_nothing():
    assert env.without_private("localhost, a", "localhost") == "localhost, a"
    assert env.without_private("a b", "") == "a b"
