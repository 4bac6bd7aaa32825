"""The report of a placement: choosing rows, numbers, text, HTML, JSON."""

import json

import pytest

import tfsession as tf
from tfsession.runtime.decision import Reason
from tfsession.runtime.placement_report import (
    OpRow,
    PlacementReport,
    Summary,
    Traffic,
    TransferRow,
)

FULL = "/job:localhost/replica:0/task:0/device:"


def op_row(name, device="CPU:0", reason=Reason.PREFERRED, op_type="Add"):
    return OpRow(name, op_type, FULL + device, reason, "", "", "device", (), reason.value)


def transfer(tensor, source, destination, size, reader="b"):
    ends = [end if end == "host" else FULL + end for end in (source, destination)]
    shape = (None if size is None else size // 4,)
    why = f"read by '{reader}'"
    return TransferRow(
        tensor, "float32", shape, *ends, size, size or 4, "implicit", (reader,), "", False, why
    )


@pytest.fixture
def report():
    rows = [
        op_row("a", "CPU:0", Reason.REQUESTED, "Mul"),
        op_row("b", "GPU:0"),
        op_row("c", "GPU:1", Reason.ONLY_KERNEL),
    ]
    transfers = [
        transfer("a:0", "host", "GPU:0", 4096),
        transfer("b:0", "GPU:0", "GPU:1", None, "c"),
        transfer("b:1", "GPU:0", "GPU:1", 8, "c"),
    ]
    return PlacementReport(rows, transfers, [FULL + d for d in ("CPU:0", "GPU:0", "GPU:1")])


FILTERS = {
    "nothing": ({}, "abc", ["a:0", "b:0", "b:1"]),
    "a type": ({"device": "/gpu"}, "bc", ["a:0", "b:0", "b:1"]),
    "in capitals": ({"device": "GPU"}, "bc", ["a:0", "b:0", "b:1"]),
    "short": ({"device": "/gpu:1"}, "c", ["b:0", "b:1"]),
    "shorter": ({"device": "gpu:1"}, "c", ["b:0", "b:1"]),
    "full": ({"device": FULL + "GPU:1"}, "c", ["b:0", "b:1"]),
    "a spec": ({"device": tf.DeviceSpec(device_type="CPU", device_index=0)}, "a", ["a:0"]),
    "a job": ({"device": "/job:localhost"}, "abc", ["a:0", "b:0", "b:1"]),
    "another job": ({"device": "/job:ps"}, "", []),
    "no such device": ({"device": "/gpu:7"}, "", []),
    "a reason": ({"reason": Reason.REQUESTED}, "a", ["a:0"]),
    "its text": ({"reason": "only kernel"}, "c", ["b:0", "b:1"]),
    "its name": ({"reason": "ONLY_KERNEL"}, "c", ["b:0", "b:1"]),
    "reasons": ({"reason": ["requested", Reason.ONLY_KERNEL]}, "ac", ["a:0", "b:0", "b:1"]),
    "an op type": ({"op_type": "Mul"}, "a", ["a:0"]),
    "op types": ({"op_type": {"Mul", "Sub"}}, "a", ["a:0"]),
    "both": ({"device": "/gpu", "reason": "requested"}, "", []),
}


@pytest.mark.parametrize(("choice", "names", "tensors"), FILTERS.values(), ids=FILTERS)
def test_filter(report, choice, names, tensors):
    found = report.filter(**choice)
    assert [row.name for row in found] == list(names)
    assert [row.tensor for row in found.transfers] == tensors
    assert found.devices == report.devices


def test_filters_that_say_nothing(report):
    with pytest.raises(ValueError, match="Unknown attribute 'disk'"):
        report.filter(device="/disk:0")
    with pytest.raises(ValueError, match="no such reason as 'chance'; there are requested, "):
        report.filter(reason="chance")
    assert PlacementReport((), None, ()).filter(device="/gpu:0", op_type="Add").transfers is None


def test_summary(report):
    assert report.summary() == Summary(
        {FULL + "CPU:0": 1, FULL + "GPU:0": 1, FULL + "GPU:1": 1},
        {Reason.REQUESTED: 1, Reason.PREFERRED: 1, Reason.ONLY_KERNEL: 1},
        {("host", FULL + "GPU:0"): Traffic(1, 4096, 0),
         (FULL + "GPU:0", FULL + "GPU:1"): Traffic(2, 8, 1)},
    )  # fmt: skip


def test_rows_by_number_and_name(report):
    assert report[0] is report["a"]
    assert report[-1].name == "c"
    assert [row.name for row in report[1:]] == ["b", "c"]
    assert (len(report), report["b"] in report) == (3, True)
    with pytest.raises(KeyError):
        report["z"]


TEXT = """\
3 operations placed on CPU:0, GPU:0, GPU:1

Operations:
Operation  Type  Device  Why
---------  ----  ------  ----------------
a          Mul   CPU:0   requested
b          Add   GPU:0   preferred device
c          Add   GPU:1   only kernel

Transfers of a step:
Tensor  From   To       Bytes  What for
------  -----  -----  -------  -----------
a:0     host   GPU:0  4.0 KiB  read by 'b'
b:0     GPU:0  GPU:1  4 B x ?  read by 'c'
b:1     GPU:0  GPU:1      8 B  read by 'c'

Transfers in sum:
From   To     Copies         Bytes
-----  -----  ------  ------------
host   GPU:0       1       4.0 KiB
GPU:0  GPU:1       2  at least 8 B

By device: CPU:0 1, GPU:0 1, GPU:1 1
By reason: requested 1, preferred device 1, only kernel 1"""


def test_text(report):
    assert str(report) == repr(report) == report.to_string() == TEXT
    nothing = PlacementReport([op_row("a")], (), [FULL + "CPU:0"])
    assert str(nothing).endswith("\nBy reason: preferred device 1\nNo transfers")
    assert str(PlacementReport((), None, ())) == "0 operations placed on "


def test_a_long_text_is_cut():
    rows = [op_row(f"scope/{i}") for i in range(1000)]
    report = PlacementReport(rows, None, [FULL + "CPU:0"])
    lines = str(report).splitlines()
    assert len(lines) == 5 + 61 + 3
    assert lines[5 + 48] == "... 940 more: to_string() shows all, filter() fewer ..."
    assert [lines[5].split()[0], lines[-4].split()[0]] == ["scope/0", "scope/999"]
    assert len(report.to_string().splitlines()) == 5 + 1000 + 3
    assert "... 990 more: --all" in report.to_string(10, "--all")
    assert "940 more" in report._repr_html_()
    assert report._repr_html_().count("<tr>") == 62
    assert len(str(report.filter(op_type="Sub")).splitlines()) == 1


def test_a_long_name_shows_its_end():
    name = "tower/" * 20 + "mul"
    row = op_row(name)._replace(why=f"follows input '{name}'")
    report = PlacementReport([row], None, [FULL + "CPU:0"])
    line = str(report).splitlines()[5]
    assert line.startswith("...")
    assert "tower/mul  Add" in line
    assert "follows input '..." in line
    assert line.endswith("/mul'")
    assert report.to_string().count(name) == 2


def test_html_is_escaped(report):
    row = op_row("a>b&c")._replace(why="<script>")
    text = PlacementReport([row], report.transfers, report.devices)._repr_html_()
    assert "a&gt;b&amp;c" in text
    assert "<script>" not in text
    assert "read by &#x27;b&#x27;" in text


def test_json(report, fresh_graph):
    found = json.loads(json.dumps(report.to_dict()))
    assert found["devices"] == list(report.devices)
    assert found["operations"][0] == {
        "name": "a", "type": "Mul", "device": FULL + "CPU:0", "reason": "requested", "other": "",
        "requested": "", "memory": "device", "host_inputs": [], "why": "requested",
    }  # fmt: skip
    assert [(t["tensor"], t["bytes"]) for t in found["transfers"]] == [
        ("a:0", 4096), ("b:0", None), ("b:1", 8),
    ]  # fmt: skip
    assert found["summary"]["operations_by_reason"]["only kernel"] == 1
    assert found["summary"]["transfers"][0] == {
        "source": "host", "destination": FULL + "GPU:0", "copies": 1, "bytes": 4096, "unknown": 0,
    }  # fmt: skip
    tf.constant(["text"])
    assert json.dumps(tf.Session().explain_placement().to_dict())
