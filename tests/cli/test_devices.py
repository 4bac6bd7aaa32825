"""`tfsession devices`: what it lists, on machines that a table describes, and what it leaves."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfsession.cli import device_check, snapshot
from tfsession.cli.main import main
from tfsession.devices import nvml
from tfsession.devices.driver import DriverError

ROOT = Path(__file__).parents[2]
FAKE_FILE = ROOT / "tests/devices/fake_nvml.py"
FAKE = SimpleNamespace(**runpy.run_path(str(FAKE_FILE)))
card, process = FAKE.card, FAKE.process
PREFIX = "/job:localhost/replica:0/task:0"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")

TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}


def documented(section):
    """Field -> types, as the page about the command line tells them."""
    text = (ROOT / "tfsession/docs/cli.md").read_text("utf-8")
    text = text.split(f"## {section}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| ([a-z, ]+) \|", text, re.MULTILINE)
    return {field: tuple(types.split(", ")) for field, types in rows}


def check_against(schema, value, field=""):
    """All that is there is documented, all that is documented is there, and of its type."""
    if field:
        assert field in schema, f"{field} is not documented"
        kinds = [TYPES[name] for name in schema[field]]
        right = any(isinstance(value, kind) for kind in kinds)
        assert right, f"{field} is {value!r}"
        assert not isinstance(value, bool) or "boolean" in schema[field], field
    if isinstance(value, dict) and (not field or any(f.startswith(f"{field}.") for f in schema)):
        prefix = f"{field}." if field else ""
        own = {f for f in schema if re.fullmatch(re.escape(prefix) + r"\w+", f)}
        assert {prefix + key for key in value} == own
        for key, part in value.items():
            check_against(schema, part, prefix + key)
    elif isinstance(value, list) and any(f.startswith(f"{field}[]") for f in schema):
        for part in value:
            check_against(schema, part, f"{field}[]")


SCHEMA = documented("tfsession devices")


def validated(text):
    found = json.loads(text)
    assert found["schema_version"] == snapshot.SCHEMA_VERSION == 1
    check_against(SCHEMA | {"devices[]": ("object",), "devices[].processes[]": ("object",)}, found)
    for row in found["devices"]:
        assert row["usable"] == (row["reason"] == "") == (row["name"] is not None)
    return found


@pytest.fixture
def machine(monkeypatch):
    """Describes the machine's cards; returns the fake NVML."""
    for name in ("TFSESSION_SIMULATED_GPUS", "CUDA_VISIBLE_DEVICES", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return partial(FAKE.install, put=monkeypatch.setattr)


@pytest.fixture
def shown(capsys):
    """What `tfsession devices OPTIONS` prints in this process."""

    def run(*options, code=0):
        assert main(["devices", *options]) == code
        return capsys.readouterr().out

    return run


def test_the_schema_is_read():
    assert SCHEMA["devices[].processes[].memory_bytes"] == ("integer", "null")
    assert len(SCHEMA) > 30
    with pytest.raises(AssertionError, match="is not documented"):
        check_against(SCHEMA, 3, "zzz")
    with pytest.raises(AssertionError, match="note is None"):
        check_against(SCHEMA, None, "note")


def test_devices_without_a_gpu(tfsession):
    found = validated(tfsession("devices", "--json", TFSESSION_DISABLE_GPU="1")[0])
    (cpu,) = found["devices"]
    assert cpu["name"] == f"{PREFIX}/device:CPU:0"
    assert cpu["memory_limit_bytes"] == 268435456
    assert cpu["physical_name"] != ""
    if sys.platform == "linux":
        assert cpu["total_memory_bytes"] > cpu["free_memory_bytes"] > 0
    assert found["note"] == "TFSESSION_DISABLE_GPU is set"


def test_devices_of_this_machine_whatever_it_is(tfsession):
    found = validated(tfsession("devices", "--json", "--processes")[0])
    usable = [row["name"] for row in found["devices"] if row["usable"]]
    assert usable[0] == f"{PREFIX}/device:CPU:0"
    assert usable[1:] == [f"{PREFIX}/device:GPU:{i}" for i in range(len(usable) - 1)]
    assert found["note"] != "" or len(found["devices"]) > 1


def test_simulated_devices(tfsession):
    found = validated(tfsession("devices", "--json", TFSESSION_SIMULATED_GPUS="2:256MiB")[0])
    names = [row["name"] for row in found["devices"]]
    assert names == [f"{PREFIX}/device:{name}" for name in ("CPU:0", "GPU:0", "GPU:1")]
    gpu = found["devices"][2]
    assert (gpu["device_type"], gpu["physical_name"]) == ("GPU", "Simulated GPU")
    assert gpu["simulated"]
    assert gpu["memory_limit_bytes"] == gpu["total_memory_bytes"] == 256 << 20
    assert found["note"] == ""


def test_a_variable_that_cannot_be_read(tfsession):
    out, err = tfsession("devices", code=2, TFSESSION_SIMULATED_GPUS="many")
    assert out == ""
    assert err.startswith("tfsession: TFSESSION_SIMULATED_GPUS must be")
    assert "Traceback" not in err


BUSY = [process(os.getpid(), 3 << 30), process(1 << 30)]


class TestCards:
    def test_every_fact(self, machine, shown):
        fake = machine([card(0, compute=BUSY), card(1, memory=(80, 2))])
        found = validated(shown("--json", "--processes"))
        assert (found["driver_version"], found["cuda_version"]) == ("580.65.06", "12.8")
        assert found["cupy_version"] == "14.2.0"
        first, second = found["devices"][1:]
        assert first["name"] == f"{PREFIX}/device:GPU:0"
        assert first["uuid"].startswith("GPU-0000aaaa")
        assert (first["utilization_percent"], first["temperature_celsius"]) == (34, 45)
        assert (first["power_watts"], first["power_limit_watts"]) == (123.5, 700.0)
        assert first["total_memory_bytes"] - first["free_memory_bytes"] == 1 << 30
        assert first["memory_limit_bytes"] == (140 << 30) - (1800 << 20)
        mine, other = first["processes"]
        assert (mine["pid"], mine["memory_bytes"]) == (os.getpid(), 3 << 30)
        if sys.platform == "linux":
            assert "python" in mine["command"]
            assert mine["user"]
        assert (other["user"], other["command"]) == (None, None)
        assert second["processes"] == []
        assert fake.open == 0

    def test_the_table(self, machine, shown):
        machine([card(0, compute=BUSY), card(1, capability=(3, 5))])
        lines = shown("--processes").splitlines()
        assert lines[0].endswith("NVIDIA driver 580.65.06, CUDA 12.8, CuPy 14.2.0")
        titles = re.split(r"  +", lines[1])
        assert titles == ["Device", "Name", "Used / total", "Limit", "Util", "Temp", "Power", "CC",
                          "Bus id", "Usable"]  # fmt: skip
        assert re.split(r"  +", lines[3]) == [
            "/device:GPU:0", "NVIDIA H200", "1.0 GiB / 141.0 GiB", "138.2 GiB", "34%", "45 C",
            "124 / 700 W", "9.0", "0000:17:00.0", "yes",
        ]  # fmt: skip
        assert lines[4].startswith("-  ")
        assert lines[4].endswith("no")
        assert lines[5].startswith("NVIDIA H200 0000:18:00.0 is not used: compute capability 3.5")
        assert re.split(r"  +", lines[7].strip()) == [
            "Device", "PID", "Kind", "User", "Memory", "Command",
        ]  # fmt: skip
        assert str(os.getpid()) in lines[8]
        assert lines[9].endswith("not visible from here")

    def test_the_table_says_why_there_is_no_gpu(self, tfsession):
        last = tfsession("devices", CUDA_VISIBLE_DEVICES="")[0].splitlines()[-1]
        assert last == "No GPU: CUDA_VISIBLE_DEVICES hides every GPU."

    def test_one_reason_is_told_once(self, machine, shown):
        machine([card(0), card(1)], cupy=None)
        (reason,) = [line for line in shown().splitlines() if "not used" in line]
        assert reason.startswith("NVIDIA H200 0000:17:00.0, NVIDIA H200 0000:18:00.0 are not used")
        assert "pip install 'tfsession[cuda12]'" in reason
        assert "no CuPy" in shown()

    def test_hidden_cards_can_be_left_out(self, machine, shown, monkeypatch):
        machine([card(0), card(1)])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert len(validated(shown("--json"))["devices"]) == 3
        rows = validated(shown("--json", "--visible-only"))["devices"]
        assert [row["pci_bus_id"] for row in rows] == [None, "0000:18:00.0"]

    def test_full_cards(self, machine, shown):
        machine([card(0, memory=(141, 0))])
        (row,) = validated(shown("--json"))["devices"][1:]
        assert (row["free_memory_bytes"], row["memory_limit_bytes"], row["usable"]) == (0, 0, True)
        assert "141.0 GiB / 141.0 GiB" in shown()

    def test_without_nvml(self, machine, shown):
        whole = runpy.run_path(str(ROOT / "tests/devices/test_nvml.py"))["from_driver"](0)
        machine([], has_nvml=False, from_driver=[whole])
        (row,) = validated(shown("--json", "--processes"))["devices"][1:]
        assert (row["total_memory_bytes"], row["free_memory_bytes"]) == (141 << 30, None)
        assert (row["utilization_percent"], row["processes"]) == (None, None)
        text = shown("--processes")
        assert "NVIDIA driver unknown, CUDA 13.0" in text
        assert "? / 141.0 GiB" in text
        assert "cannot be seen" in text

    def test_a_driver_that_refuses(self, machine, shown):
        machine([], has_nvml=False, from_driver=DriverError("cuInit failed with CUDA error 100"))
        assert "No GPU: the NVIDIA driver gives no device" in shown()

    def test_no_proc(self, machine, shown, monkeypatch):
        machine([card(0, compute=BUSY)])
        monkeypatch.setattr(snapshot, "_proc", lambda *_: "")
        monkeypatch.delattr(snapshot.os, "sysconf", raising=False)
        monkeypatch.setattr(snapshot, "pwd", None)
        cpu, gpu = validated(shown("--json", "--processes"))["devices"]
        assert (cpu["total_memory_bytes"], cpu["free_memory_bytes"]) == (None, None)
        assert cpu["physical_name"]
        assert gpu["processes"][0]["command"] is None
        assert shown("--processes")


QUESTIONS = sorted(name for name in vars(FAKE.FakeNvml) if name.startswith("nvml"))
ANSWERS = [
    FAKE.FakeNvml.NVMLError("Unknown Error"),
    OSError("gone"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    None,
    -1,
    "\x1b[2J",
    [],
    [None, "x"],
    SimpleNamespace(total=-1, free=1 << 70, gpu=None, busId=b"\xff", pid="x"),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_broken_answer_of_nvml_raises(question, machine, shown):
    for answer in ANSWERS:
        fake = machine([card(0, compute=BUSY), card(1)], from_driver=[])
        fake.broken = {question: answer}
        validated(shown("--json", "--processes"))
        assert "\x1b" not in shown("--processes")


def test_control_characters_do_not_reach_the_terminal(machine, shown, monkeypatch):
    machine([card(0, name="NVIDIA \x1b[31mevil\n", compute=[process(7)])])
    monkeypatch.setattr(snapshot, "_command", lambda _pid: "sh \x1b]0;title\x07\nevil")
    text = shown("--processes")
    assert "NVIDIA ?[31mevil?" in text
    assert "sh ?]0;title??evil" in text


LISTING = f"""
import json, os, runpy, sys
fake = runpy.run_path({str(FAKE_FILE)!r})
os.environ.pop("CUDA_VISIBLE_DEVICES", None)
fake["install"]([fake["card"](0), fake["card"](1)])
from tfsession.cli.main import main
assert main(["devices", "--json", "--processes"]) == main(["devices"]) == 0
print(json.dumps(sorted(m for m in sys.modules if m.partition(".")[0] in
                        ("numpy", "cupy", "ml_dtypes", "google", "rich"))), file=sys.stderr)
"""
FORKING = """
import os, sys
from tfsession.cli.main import main
assert main(["devices"]) == 0
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
import tfsession as tf
with tf.device("/gpu:0"):
    doubled = tf.placeholder(tf.float32, [2]) * 2.0
with tf.Session() as session:
    found = session.run(doubled, {doubled.op.inputs[0]: [1.0, 2.0]})
os._exit(0 if found.tolist() == [2.0, 4.0] else 1)
"""


def alone(code, environ, **variables):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environ(**variables), check=False,
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_listing_loads_no_library_of_arrays(environ):
    assert json.loads(alone(LISTING, environ)) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_process_that_has_listed_can_compute(environ):
    alone(FORKING, environ, TFSESSION_SIMULATED_GPUS="1")


class TestCheck:
    def test_every_device_passes(self, tfsession):
        simulated = {"TFSESSION_SIMULATED_GPUS": "2:64MiB"}
        found = validated(tfsession("devices", "--check", "--json", **simulated)[0])
        assert [row["check"]["passed"] for row in found["devices"]] == [True] * 3
        assert all(row["check"]["seconds"] > 0 for row in found["devices"])

    def test_a_device_that_fails(self, tfsession):
        out, _ = tfsession("devices", "--check", code=1, TFSESSION_SIMULATED_GPUS="1:64")
        lines = out.splitlines()
        assert re.search(r"PASS in [\d.]+ s$", lines[2])
        assert lines[3].endswith("FAIL")
        assert lines[4].startswith("/device:GPU:0 failed: ResourceExhaustedError: OOM when alloc")

    def test_a_time_limit(self, tfsession):
        out, _ = tfsession("devices", "--check", "--timeout", "0.001", code=1)
        assert "failed: not done after 0.001 s" in out

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("import os; os.abort()", "its process was ended by SIGABRT"),
            ("raise SystemExit(3)", "its process ended with exit code 3"),
            ("raise ImportError('no CuPy')", "its process ended with exit code 1: ImportError: no"),
            ("print('{}')", "its process ended with exit code 0"),
            ("print('[1]')", "its process ended with exit code 0"),
        ],
    )
    def test_a_process_that_ends_otherwise(self, code, reason):
        if "SIG" in reason and sys.platform == "win32":
            pytest.skip("signals of POSIX")
        (result,) = device_check.check(["x"], 60, lambda _: [sys.executable, "-c", code])
        assert not result["passed"]
        assert result["reason"].startswith(reason)

    def test_a_process_that_does_not_end(self):
        hangs = [sys.executable, "-c", "import time; time.sleep(1000)"]
        results = device_check.check(["x", "y"], 0.2, lambda _: hangs)
        assert [result["reason"] for result in results] == ["not done after 0.2 s"] * 2

    def test_wrong_numbers_are_noticed(self):
        code = (
            "import sys, tfsession as tf\n"
            "from tfsession.cli import device_check_child\n"
            "from tfsession.core.rules import kernels\n"
            "kernel = kernels['Relu'][0]\n"
            "kernel.function = lambda xp, features: abs(features)\n"
            "sys.exit(device_check_child.main('/cpu:0'))"
        )
        (result,) = device_check.check(["x"], 60, lambda _: [sys.executable, "-c", code])
        assert not result["passed"]
        assert result["reason"].startswith("an element-wise kernel with a sum gave 32 wrong numb")

    def test_cards_that_are_not_used_are_not_checked(self, machine, shown, monkeypatch):
        machine([card(0)], cupy=None)
        text = shown("--check")
        assert "PASS in" in text
        assert text.splitlines()[3].endswith("not used")


class Terminal:
    """A command on a terminal of its own, `columns` wide."""

    def __init__(self, args, env, columns):
        import fcntl  # noqa: PLC0415  POSIX only
        import pty  # noqa: PLC0415
        import struct  # noqa: PLC0415
        import termios  # noqa: PLC0415

        self.screen, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        command = [sys.executable, "-W", "error", "-m", "tfsession", *args]
        self.process = subprocess.Popen(command, env=env, stdin=end, stdout=end, stderr=end)
        os.close(end)
        self.text = ""

    def read_until(self, pattern=None):
        """What has come when `pattern` has; to the end without one."""
        while pattern is None or not re.search(pattern, self.text, re.DOTALL):
            try:
                new = os.read(self.screen, 1 << 16)
            except OSError:  # the other end is closed
                new = b""
            if not new:
                assert pattern is None, self.text
                break
            self.text += new.decode("utf-8", "replace")
        return self.text

    def end(self):
        self.read_until()
        os.close(self.screen)
        return self.process.wait(60)


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


TWO_SIMULATED = {"TFSESSION_SIMULATED_GPUS": "2:1GiB", "TERM": "xterm-256color"}


@POSIX
class TestTerminal:
    def on(self, columns, environ, *args, **variables):
        terminal = Terminal(["devices", *args], environ(**TWO_SIMULATED, **variables), columns)
        assert terminal.end() == 0
        return terminal.text

    @pytest.mark.parametrize("columns", [200, 100, 80, 60, 45, 30])
    def test_lines_fit(self, columns, environ):
        lines = plain(self.on(columns, environ)).splitlines()
        assert max(map(len, lines)) <= columns
        assert ("░" in "".join(lines)) == (columns >= 100)
        assert sum(line.startswith("/device:GPU") for line in lines) == 2

    def test_colours(self, environ):
        assert "\x1b[32m" in self.on(100, environ)
        for text in (
            self.on(100, environ, "--no-color"),
            self.on(100, environ, NO_COLOR="1"),
            self.on(100, environ, "--no-color", FORCE_COLOR="1"),
        ):
            assert not re.search(r"\x1b\[[0-9;]*3\dm", text)
            assert "/device:GPU:1" in text

    def test_a_pipe_gets_colours_when_it_is_forced(self, tfsession):
        assert "\x1b[" not in tfsession("devices")[0]
        assert "\x1b[32m" in tfsession("devices", FORCE_COLOR="1")[0]
        assert "\x1b[" not in tfsession("devices", "--no-color", FORCE_COLOR="1")[0]

    def test_watching_redraws_until_ctrl_c(self, environ):
        terminal = Terminal(["devices", "--watch", "0.05"], environ(**TWO_SIMULATED), columns=100)
        # Up over what was drawn before, and drawn again.
        terminal.read_until(r"GPU:1.*\x1b\[1A.*GPU:1")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


@POSIX
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watching_without_a_terminal(options, environ):
    command = [sys.executable, "-m", "tfsession", "devices", "--watch", "0.05", *options]
    process = subprocess.Popen(
        command, env=environ(TFSESSION_SIMULATED_GPUS="1"), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        lines = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    if options:
        times = [validated(line)["time"] for line in lines]
        assert times == sorted(times)
    else:
        assert [line.startswith("tfsession ") for line in lines] == [i % 5 == 0 for i in range(12)]
        assert lines[4] == "\n"


@pytest.mark.parametrize("args", [("--watch", "0"), ("--watch", "x"), ("--watch", "--check")])
def test_watching_misused(args, tfsession):
    assert "usage: tfsession devices" in tfsession("devices", *args, code=2)[1]


@pytest.mark.gpu
def test_listing_leaves_nothing_on_a_card():
    """NVML tells of no process and no byte that were not there before."""
    pynvml = pytest.importorskip("pynvml")
    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

    def state():
        """Process ids and bytes used, by card."""
        listed = [pynvml.nvmlDeviceGetComputeRunningProcesses(handle) for handle in handles]
        used = [pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles]
        return [sorted(process.pid for process in found) for found in listed], used

    before = state()
    code = (
        "import sys, time; from tfsession.cli.main import main\n"
        "main(['devices', '--processes']); sys.stdout.flush(); time.sleep(3)"
    )
    lister = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with lister:
        assert lister.stdout.readline()
        time.sleep(1)
        while_it_lives = state()
        lister.stdout.read()
    assert while_it_lives == before == state()
    assert any(gpu.usable for gpu in nvml.survey().gpus)
