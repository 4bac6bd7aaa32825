"""The device grammar against TensorFlow's own, front end and runtime."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfsession.core.device_spec import (
    DeviceSpecV1,
    DeviceSpecV2,
    canonical,
    merge,
    parse_device_name,
)

pytestmark = [pytest.mark.oracle, pytest.mark.spec("5.1")]

RELAXED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

keys = st.sampled_from(
    [
        "job",
        "replica",
        "task",
        "device",
        "cpu",
        "CPU",
        "gpu",
        "Gpu",
        "tpu",
        "epu",
        "custom",
        "foo",
        "Job",
        "x",
        "",
        " ",
    ]
)
values = st.sampled_from(
    ["0", "1", "12", "-1", "+2", "*", "", "x", "a_B9", "w-1", "cpu", "GPU", "FOO", "4294967297"]
)
wild_parts = st.builds(lambda k, v: ":".join([k, *v]), keys, st.lists(values, max_size=3))
good_parts = st.one_of(
    st.sampled_from(["job:a", "job:w1", "replica:0", "replica:2", "task:1", "task:0"]),
    st.sampled_from(["cpu:0", "gpu:1", "GPU", "device:CPU:*", "device:foo:3", "device:*:1"]),
)
parts = st.one_of(good_parts, wild_parts)
texts = st.one_of(
    st.lists(parts, max_size=5).map(lambda p: "/" + "/".join(p)),
    st.lists(good_parts, max_size=4).map("/".join),
    st.text(alphabet="/:*cpugdevi01J ", max_size=12),
)


def outcome(parse, *args):
    try:
        return parse(*args)
    except Exception as error:
        return type(error), str(error)


@RELAXED
@given(text=texts)
def test_front_end_grammar(tf, text):
    for ours, theirs in ((DeviceSpecV1, tf.DeviceSpec), (DeviceSpecV2, tf.compat.v2.DeviceSpec)):
        expected = outcome(lambda cls: repr(cls.from_string(text)), theirs)
        assert outcome(lambda cls: repr(cls.from_string(text)), ours) == expected
    expected = outcome(lambda: tf.DeviceSpec.from_string(text).to_string())
    assert outcome(canonical, text) == expected


@pytest.mark.spec("5.2")
@RELAXED
@given(base=texts, over=texts)
def test_merging(tf, base, over):
    cls = tf.DeviceSpec
    expected = outcome(
        lambda: cls.from_string(base).make_merged_spec(cls.from_string(over)).to_string()
    )
    assert outcome(merge, base, over) == expected


names = st.sampled_from(["job", "replica", "task", "device_type", "device_index", "to_string"])
fields = st.sampled_from([None, 0, 3, "1", "w", "cpu", "GPU", "Gpu", "*", 2.5, ""])
steps = st.one_of(
    st.tuples(st.sampled_from(["from_string", "parse_from_string", "make_merged_spec"]), texts),
    st.tuples(st.just("merge_from"), texts),
    st.tuples(st.just("replace"), st.dictionaries(names, fields, max_size=3)),
    st.tuples(st.just("set"), st.tuples(names, fields)),
)


def take(spec, step, other_kind):
    """What a step on `spec` gives; some change it."""
    name, argument = step
    if name == "set":
        return setattr(spec, *argument)
    if name == "replace":
        return spec.replace(**argument)
    if name in ("make_merged_spec", "merge_from"):
        argument = other_kind.from_string(argument)
    return getattr(spec, name)(argument)


def history(kinds, script):
    """All specs that a script makes, after each step, with how they compare."""
    specs, told = [kind.from_string("/job:w/gpu:1") for kind in kinds], []
    for at, other, step in script:
        spec = specs[at % len(specs)]
        found = outcome(take, spec, step, kinds[other])
        if isinstance(found, kinds[1]):
            specs.append(found)
            told.append((type(found) is kinds[0], found is spec))
        else:
            told.append((found[0].__name__, found[1]) if isinstance(found, tuple) else found)
        told.append([(repr(one), one.to_string()) for one in specs])
    told.append([(one == two, hash(one) == hash(two)) for one in specs for two in specs])
    return told


@pytest.mark.spec("5.2")
@RELAXED
@given(script=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), steps), max_size=8))
def test_specs_of_both_kinds(tf, script):
    expected = history((tf.DeviceSpec, tf.compat.v2.DeviceSpec), script)
    assert history((DeviceSpecV1, DeviceSpecV2), script) == expected


FULL = "/job:localhost/replica:0/task:0/device:CPU:"


@pytest.mark.spec("5.5")
@settings(RELAXED, max_examples=250)
@given(text=texts)
def test_runtime_reading(tf, text):
    """Malformed, on none of two CPU devices, or on the one that our reading says."""
    with tf.Graph().as_default():
        x = tf.constant(1.0)
        x.op._set_device(text)
        options = tf.RunOptions(output_partition_graphs=True)
        metadata = tf.RunMetadata()
        try:
            with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as sess:
                sess.run(x, options=options, run_metadata=metadata)
            found = {
                n.device for g in metadata.partition_graphs for n in g.node if n.name == "Const"
            }
        except tf.errors.InvalidArgumentError as error:
            found = "malformed" if "Malformed device specification" in str(error) else set()
    name = parse_device_name(text)
    if name is None:
        assert found == "malformed"
    else:
        devices = [FULL + "0", FULL + "1"]
        chosen = [d for d in devices if name.matches(parse_device_name(d))]
        assert found == set(chosen[:1])
