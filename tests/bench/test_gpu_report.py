"""What `ci/gpu` makes of stages, probes and answers; all of it runs without a GPU."""

import json
import sys
import time

import gpu_equality
import gpu_probes
import gpu_report
import numpy as np
import pytest
from gpu_report import Stage

import tfsession as tf
from tfsession.devices.simulated import SimulatedDevice


def python(text):
    """The command that runs a text; its file is the first argument."""
    return lambda seconds, path: [sys.executable, "-ISc", text, str(path)]


OK = python("import sys; open(sys.argv[1], 'w').write('{\"a\": 1}')")
WRONG = python("raise SystemExit(3)")
UNTIL_INTERRUPTED = python(
    "import sys, time\n"
    "try: time.sleep(60)\n"
    "except KeyboardInterrupt: open(sys.argv[1], 'w').write('{\"a\": 2}')"
)
DEAF = python(
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "time.sleep(60)"
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(gpu_report, "GRACE", 1.0)


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (OK, {"outcome": "ok", "exit_code": 0, "found": {"a": 1}}),
        (WRONG, {"outcome": "failed", "exit_code": 3}),
        (
            UNTIL_INTERRUPTED,
            {"outcome": "failed", "cause": "ended, as its time was over", "found": {"a": 2}},
        ),
        (DEAF, {"outcome": "failed", "cause": "ended, as its time was over"}),
        (lambda s, path: ["/no/such/program"], {"outcome": "failed"}),
    ],
    ids=["ok", "wrong", "interrupted", "deaf", "absent"],
)
def test_a_stage_has_its_time_and_an_outcome(quick, tmp_path, command, outcome):
    begin = time.monotonic()
    stage = Stage(1, command, gpu_report._json)
    seconds = 4.0 if "cause" in outcome else 30.0  # first Python has to be there
    found = gpu_report.do("stage", stage, seconds, tmp_path)
    assert time.monotonic() - begin < 50  # what does not end by itself sleeps for longer
    assert found.items() >= outcome.items()
    if "found" not in outcome and "seconds" in found:
        assert "FileNotFoundError" in found["nothing_found"]


def test_a_stage_whose_program_is_not_installed_is_not_run(tmp_path):
    stage = Stage(1, OK, gpu_report._json, needs="no-such-program")
    assert gpu_report.do("stage", stage, 30, tmp_path) == {
        "outcome": "not run",
        "cause": "no-such-program is not installed",
    }


def test_each_stage_leaves_a_report_and_gives_its_rest_to_those_behind(
    quick, tmp_path, monkeypatch
):
    shares, kept = [], []
    do = gpu_report.do

    def noted(name, stage, seconds, folder):
        shares.append(seconds)
        kept.append([json.loads(p.read_text())["outcomes"] for p in tmp_path.glob("results/*")])
        return do(name, stage, seconds, folder)

    monkeypatch.setattr(gpu_report, "do", noted)
    monkeypatch.setenv("OUT", str(tmp_path))
    stages = {
        name: Stage(weight, command, gpu_report._json)
        for name, weight, command in [("a", 1, OK), ("b", 4, WRONG), ("c", 1, OK), ("d", 2, OK)]
    }
    results = tmp_path / "results"
    report, path = gpu_report.run(["d", "b", "a"], stages, 70.0, tmp_path / "work", results)
    assert list(report["outcomes"]) == ["a", "b", "d"]
    assert shares == pytest.approx([10, 40, 60], abs=10)
    assert shares[2] > 50
    assert [len(before[0]) for before in kept] == [0, 1, 2]
    assert json.loads(path.read_text()) == report == json.loads((tmp_path / path.name).read_text())
    assert {"date", "device", "driver", "python", "versions", "precision"} <= report.keys()
    assert report["versions"]["numpy"] == np.__version__
    late, _ = gpu_report.run(["a", "b"], stages, 0.0, tmp_path / "work", results)
    assert late["outcomes"]["b"] == {"outcome": "not run", "cause": "no time was left"}


def test_the_device_is_what_nvidia_smi_says():
    line = "NVIDIA H200, 580.1, 143771 MiB, 9.0, 1980 MHz, 700.00 W"
    device = gpu_report.device_of(f"{line}\n{line}\n")
    assert device["name"] == "NVIDIA H200"
    assert device["compute_cap"] == "9.0"
    report = {"device": device, "date": "2026-01-02T03:04:05+00:00"}
    path = gpu_report.report_path(report, gpu_report.BENCH)
    assert path.name == "nvidia-h200-20260102030405.json"


def test_a_suite_is_told_by_numbers_and_names(tmp_path):
    path = tmp_path / "suite.xml"
    path.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="1" skipped="0">'
        '<testcase classname="a.b" name="c"><failure message="E: x&#10;more"/></testcase>'
        '<testcase classname="a.b" name="d"><error message="F: y"/></testcase>'
        '<testcase classname="a.b" name="e"/></testsuite></testsuites>'
    )
    found = gpu_report.junit(path)
    assert found == {
        "tests": 3,
        "failures": 1,
        "errors": 1,
        "skipped": 0,
        "failed": {"a.b.c": "E: x", "a.b.d": "F: y"},
    }


def test_a_probe_that_finds_no_gpu_is_a_failure_that_ends_nothing(request):
    found = gpu_probes.outcome_of([sys.executable, gpu_probes.__file__, "pinned"], 60)
    if request.config.getoption("--device") == "cuda":
        assert found["outcome"] == "ok"
    else:
        assert found["outcome"] == "failed"
        assert "Error" in found["cause"]


def test_probes_have_their_time_only(tmp_path):
    path = tmp_path / "probes.json"
    assert gpu_probes.main(["--seconds", "1", "--json", str(path)]) == 0
    late = {"outcome": "failed", "cause": "no time was left"}
    assert json.loads(path.read_text()) == dict.fromkeys(gpu_probes.PROBES, late)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("print('x'); print('{\"a\": 1}')", {"outcome": "ok", "facts": {"a": 1}}),
        ("raise ValueError('no')", {"outcome": "failed", "cause": "exit 1: ValueError: no"}),
        ("print('no facts')", {"outcome": "failed", "cause": "exit 0: no facts"}),
        (
            "import os; os.kill(os.getpid(), 9)",
            {"outcome": "failed", "cause": "exit -9: nothing was said"},
        ),
        (
            "import time; time.sleep(60)",
            {"outcome": "failed", "cause": "no answer after 1 seconds"},
        ),
    ],
)
def test_a_probe_has_an_outcome(text, outcome):
    found = gpu_probes.outcome_of([sys.executable, "-c", text], 1 if "sleep" in text else 30)
    assert found.items() >= outcome.items()


ONE = np.array([1.0, 1000.0], np.float32)
# (what differs, of which program, how it is told)
DIFFERENCES = [
    (lambda: ONE * np.float32(1.0001), "work", ""),
    (lambda: ONE * np.float32(1.01), "work", "up to 10 of 1e+03"),
    (lambda: ONE + np.float32([0.005, 0]), "work", ""),
    (lambda: ONE * np.float32([np.nan, 1]), "work", "up to 0 of 1e+03"),
    (lambda: ONE.astype(np.float64), "work", "float32[2] and float64[2]"),
    (lambda: ONE[:1], "work", "float32[2] and float32[1]"),
    (lambda: np.nextafter(ONE, np.float32(0)), "draw: normal", ""),
    (lambda: np.nextafter(ONE, np.float32(0)), "draw: uniform", "1 units in the last place"),
    (lambda: ONE * np.float32(1.0001), "draw: normal", "units in the last place"),
]


@pytest.mark.parametrize(("other", "name", "told"), DIFFERENCES)
def test_answers_differ_by_more_than_their_tolerance(other, name, told):
    found = gpu_equality.difference(name, ONE, other())
    assert found.endswith(told) if told else not found


def test_whole_numbers_and_texts_are_equal_or_not():
    numbers = np.arange(4)
    assert gpu_equality.difference("work", numbers, numbers) == ""
    assert gpu_equality.difference("work", numbers, numbers // 2 * 2) == "2 of 4 differ"


def test_what_two_devices_give_is_compared(tmp_path, monkeypatch, capsys):
    paths = [tmp_path / "simulated.npz", tmp_path / "cuda.npz"]
    for number, path in enumerate(paths):
        given = {"same": [ONE], "apart": [ONE * (1 + number)], "shorter": [ONE] * (1 + number)}
        causes = {"broken": "E: why"} if number else {}
        monkeypatch.setattr(gpu_equality, "answers", lambda *_, g=given, c=causes: (g, c))
        gpu_equality.write(path, 1)
    found = gpu_equality.compare(paths)
    assert found["equal"] == 1
    assert found["differ"] == {"apart": "up to 1e+03 of 1e+03", "shorter": "1 and 2 arrays"}
    assert found["failed"] == {"simulated.npz": {}, "cuda.npz": {"broken": "E: why"}}


@pytest.mark.filterwarnings("ignore")  # some works leave folders to be removed with them
def test_every_program_runs_on_a_simulated_gpu(monkeypatch):
    launches = []
    computed = SimulatedDevice.computed
    monkeypatch.setattr(
        SimulatedDevice,
        "computed",
        lambda self, *arguments: [launches.append(self.name), computed(self, *arguments)][1],
    )
    found, causes = gpu_equality.answers(tf, time.monotonic() + 600)
    assert causes == {}
    assert len(found) > 60
    assert [name for name, leaves in found.items() if len(leaves) < gpu_equality.RUNS] == []
    assert len(launches) > 1000
    draws = found["draw: uniform"]
    assert not np.array_equal(draws[0], draws[1])
    assert gpu_equality.answers(tf, 0)[1]["draw: uniform"] == "no time was left"
