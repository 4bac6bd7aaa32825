import copy
import pickle

import pytest

from tfsession.core.device_spec import (
    DeviceName,
    DeviceSpecV1,
    DeviceSpecV2,
    canonical,
    merge,
    parse_device_name,
)

BOTH = pytest.mark.parametrize("cls", [DeviceSpecV1, DeviceSpecV2])

CANONICAL = [
    (None, ""),
    ("", ""),
    ("/", ""),
    ("//", ""),
    ("::", ""),
    ("/:x/gpu:0", "/device:GPU:0"),
    ("/gpu:0", "/device:GPU:0"),
    ("gpu:0", "/device:GPU:0"),
    ("GPU:0", "/device:GPU:0"),
    ("/device:GPU:0", "/device:GPU:0"),
    ("/device:gpu:0", "/device:GPU:0"),
    ("/device:Gpu:0", "/device:Gpu:0"),
    ("/device:foo:0", "/device:foo:0"),
    ("/device:*:1", "/device:*:1"),
    ("/device::0", "/device::0"),
    ("/cpu", "/device:CPU:*"),
    ("/cpu:*", "/device:CPU:*"),
    ("/epu:1", "/device:EPU:1"),
    ("/custom:0", "/device:CUSTOM:0"),
    ("/tpu:0", "/device:TPU:0"),
    ("/gpu:-1", "/device:GPU:-1"),
    ("/gpu:+1", "/device:GPU:1"),
    ("/gpu:00", "/device:GPU:0"),
    ("/gpu: 0 ", "/device:GPU:0"),
    ("/job:", "/job:"),
    ("/job:*", "/job:*"),
    ("/job:a/job:b", "/job:b"),
    ("/gpu:3/task:2/replica:1/job:a", "/job:a/replica:1/task:2/device:GPU:3"),
]

REFUSED = [
    ("/device:CPU", ValueError, "Unknown attribute 'device' is encountered while parsing"),
    ("/device:GPU:0:1", ValueError, "Unknown attribute 'device'"),
    ("/foo:1", ValueError, "Unknown attribute 'foo'.*the device spec: '/foo:1'\\.$"),
    ("bogus", ValueError, "Unknown attribute 'bogus'"),
    ("/Job:x", ValueError, "Unknown attribute 'Job'"),
    ("/job", ValueError, "Unknown attribute 'job'"),
    ("/job:a:b", ValueError, "Unknown attribute 'job'"),
    (" /gpu:0", ValueError, "Unknown attribute ' '"),
    ("/XLA_GPU:0", ValueError, "Unknown attribute 'XLA_GPU'"),
    (
        "/gpu:0/cpu:1",
        ValueError,
        "Multiple device types are not allowed while parsing the device spec: /gpu:0/cpu:1\\.$",
    ),
    ("/gpu:0/gpu:1", ValueError, "Multiple device types"),
    ("/device:CPU:0/device:*:1", ValueError, "Multiple device types"),
    ("/task:*", ValueError, r"invalid literal for int\(\) with base 10: '\*'"),
    ("/replica:x", ValueError, "invalid literal for int"),
    ("/gpu:", ValueError, "invalid literal for int"),
    (5, AttributeError, "'int' object has no attribute 'split'"),
    (b"/gpu:0", TypeError, "bytes-like object"),
]


@BOTH
@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_canonical_text(cls, text, expected):
    assert cls.from_string(text).to_string() == expected
    assert canonical(text) == expected
    assert canonical(cls.from_string(text)) == expected


@BOTH
@pytest.mark.parametrize(("text", "error", "phrase"), REFUSED)
def test_refused(cls, text, error, phrase):
    with pytest.raises(error, match=phrase):
        cls.from_string(text)
    with pytest.raises(error, match=phrase):
        canonical(text)


def test_a_failed_parse_leaves_a_mutable_spec_alone():
    spec = DeviceSpecV1.from_string("/job:a/gpu:1")
    with pytest.raises(ValueError, match="Unknown attribute"):
        spec.parse_from_string("/task:3/bogus")
    assert spec.to_string() == "/job:a/device:GPU:1"


@BOTH
def test_constructor_and_repr(cls):
    spec = cls(job="w", device_type="cpu", device_index="0")
    assert repr(spec) == str(spec)
    assert repr(spec) == (
        "<DeviceSpec(job=w, replica=None, task=None, device_type=CPU, device_index=0)>"
    )
    assert cls(device_index=1).to_string() == ""
    with pytest.raises(ValueError, match="invalid literal"):
        cls(replica="x")


@BOTH
def test_merge_keeps_fields_independently(cls):
    merged = cls.from_string("/gpu:1").make_merged_spec(cls.from_string("/cpu"))
    assert type(merged) is cls
    assert merged.to_string() == "/device:CPU:1"


@BOTH
def test_equality_hash_replace_and_copies(cls):
    spec = cls.from_string("/job:x/gpu:1")
    assert spec == cls(job="x", device_type="GPU", device_index=1)
    assert hash(spec) == hash(cls.from_string("/job:x/device:GPU:1"))
    assert spec != cls.from_string("/job:x")
    assert spec != "/job:x/device:GPU:1"
    assert spec.replace(job="y", device_index=None).to_string() == "/job:y/device:GPU:*"
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        spec.replace(foo=1)
    assert copy.copy(spec) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_the_two_classes_are_never_equal():
    assert DeviceSpecV1(job="a") != DeviceSpecV2(job="a")
    assert DeviceSpecV2(job="a") != DeviceSpecV1(job="a")


def test_v2_is_immutable():
    spec = DeviceSpecV2.from_string("/gpu:1")
    with pytest.raises(AttributeError, match="no setter"):
        spec.job = "a"
    with pytest.raises(AttributeError, match="foo"):
        spec.foo = 1
    assert not hasattr(spec, "merge_from")
    assert spec.parse_from_string("/job:x").to_string() == "/job:x"
    assert spec.to_string() == "/device:GPU:1"


def test_v1_is_mutable():
    spec = DeviceSpecV1.from_string("/gpu:1")
    assert spec.parse_from_string("/job:x") is spec
    assert spec.to_string() == "/job:x"
    spec.replica, spec.task, spec.device_type, spec.device_index = "3", "4", "gpu", "5"
    assert spec.to_string() == "/job:x/replica:3/task:4/device:GPU:5"
    with pytest.raises(ValueError, match="invalid literal"):
        spec.task = "z"
    spec.job = None
    assert spec.merge_from(DeviceSpecV1.from_string("/job:y/cpu")) is None
    assert spec.to_string() == "/job:y/replica:3/task:4/device:CPU:5"


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("", "", ""),
        ("", "/gpu:0", "/device:GPU:0"),
        ("/gpu:0", "", "/device:GPU:0"),
        ("/gpu:1", "/cpu", "/device:CPU:1"),
        ("/job:w/cpu:0", "/task:1", "/job:w/task:1/device:CPU:0"),
        ("/job:a/task:1/gpu:0", "/job:b/gpu:2", "/job:b/task:1/device:GPU:2"),
    ],
)
def test_merge_texts(base, over, expected):
    assert merge(base, over) == expected


RUNTIME = [
    ("", DeviceName()),
    ("/", DeviceName()),
    ("/cpu:0", DeviceName(device_type="CPU", device_index=0)),
    ("/GPU:*", DeviceName(device_type="GPU")),
    ("/device:cpu:0", DeviceName(device_type="cpu", device_index=0)),
    ("/device:CPU", DeviceName(device_type="CPU")),
    ("/device:*:1", DeviceName(device_index=1)),
    ("/device:XLA_CPU:0", DeviceName(device_type="XLA_CPU", device_index=0)),
    ("/cpu:0/gpu:1", DeviceName(device_type="GPU", device_index=1)),
    ("/task:0/task:1", DeviceName(task=1)),
    ("/job:*/replica:*/task:*", DeviceName()),
    ("/job:a_B9", DeviceName(job="a_B9")),
    ("/device:CPU:4294967296", DeviceName(device_type="CPU", device_index=0)),
    ("/job:localhost/replica:0/task:0/device:CPU:0", DeviceName("localhost", 0, 0, "CPU", 0)),
]

MALFORMED = [
    *("garbage", "//", "cpu", "cpu:0", "CPU:0", "/cpu", "/gpu", "/Cpu:0", "/tpu:0", "/Job:x"),
    *("/job:", "/job:1a", "/job:_a", "/job:a-b", "/job:A.b", "/job:é", "/job:*a", "/job:x/"),
    *("/replica:", "/replica:x", "/task:-1", "/device:C*:0", "/device:CPU:", "/device:CPU:x"),
    *("/device:CPU:0x", "/device:_C:0", "/device:1C:0", "/device::0", "/device:CPU:+0", "*:0"),
    *(" /cpu:0", "/cpu:0 ", "/cpu:0\n", "job:a/cpu:0", "/device:CPU:*:0", "/device:*C:0"),
    "/device:CPU:18446744073709551616",
]


@pytest.mark.parametrize(("text", "expected"), RUNTIME)
def test_runtime_reading(text, expected):
    assert parse_device_name(text) == expected


@pytest.mark.parametrize("text", MALFORMED)
def test_runtime_malformed(text):
    assert parse_device_name(text) is None


def test_local_names_are_for_those_who_ask():
    assert parse_device_name("cpu:1", local=True) == DeviceName(device_type="CPU", device_index=1)
    assert parse_device_name("cpu:x", local=True) is None
    assert parse_device_name("/gpu:1", local=True) == DeviceName(device_type="GPU", device_index=1)


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ("", True),
        ("/device:CPU:*", True),
        ("/device:*:1", True),
        ("/job:localhost", True),
        ("/cpu:0", False),
        ("/gpu:1", False),
        ("/task:1", False),
        ("/device:cpu:1", False),
    ],
)
def test_matching(asked, matches):
    device = parse_device_name("/job:localhost/replica:0/task:0/device:CPU:1")
    assert parse_device_name(asked).matches(device) is matches
    assert device.to_string() == "/job:localhost/replica:0/task:0/device:CPU:1"
