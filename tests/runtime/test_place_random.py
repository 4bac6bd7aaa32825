"""Random graphs: a placement that satisfies every constraint, or one error that says which not."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core.device_spec import parse_device_name
from tfsession.core.errors import InvalidArgumentError
from tfsession.runtime.place import Decision

MIXED = "CPU:0 CPU:1 GPU:0 GPU:1"

# What an op reads and makes: values, handles of resources, references; and where it can run.
OPS = {
    "Make": ("", "v", {"CPU", "GPU"}),
    "Map": ("v", "v", {"CPU", "GPU"}),
    "CpuOnly": ("v", "v", {"CPU"}),
    "GpuOnly": ("v", "v", {"GPU"}),
    "State": ("", "h", {"CPU", "GPU"}),
    "Use": ("h", "", {"CPU", "GPU"}),
    "UseTwo": ("hh", "", {"CPU", "GPU"}),
    "Ref": ("", "r", {"CPU", "GPU"}),
    "Bump": ("r", "r", {"CPU", "GPU"}),
}
READERS = {"Use", "UseTwo", "Bump"}

hosts = st.sampled_from(["", "/job:localhost", "/job:ps", "/replica:0", "/task:0", "/task:1"])
kinds = st.sampled_from(
    ["", "/cpu:0", "/cpu:1", "/gpu:0", "/gpu:1", "/cpu:*", "/gpu:*", "/cpu:5", "/device:*:1"]
)
requests = st.one_of(st.just(""), st.just(""), kinds, st.tuples(hosts, kinds).map("".join))


@st.composite
def graphs(draw, handles=True):
    """The text of a graph."""
    nodes, made = [], {"v": [], "h": [], "r": []}
    for number in range(draw(st.integers(1, 9))):
        fitting = [
            op_type
            for op_type, (reads, makes, _) in OPS.items()
            if all(made[kind] for kind in reads) and (handles or makes == "v")
        ]
        op_type = draw(st.sampled_from(fitting))
        reads, makes, _ = OPS[op_type]
        inputs = ",".join(draw(st.sampled_from(made[kind])) for kind in reads)
        request = draw(requests)
        group = draw(st.sampled_from(["", "", "", f"~n{draw(st.integers(0, number + 1))}"]))
        nodes.append(f"n{number}={op_type}({inputs}){request and '@'}{request}{group}")
        if makes:
            made[makes].append(f"n{number}")
    return " ".join(nodes)


def op_kind(op):
    return op.type.removeprefix("Place")


def colocated(ops):
    """Pairs of operations that `_class` ties together."""
    first = {}
    for op in ops:
        names = [group.decode().removeprefix("loc:@") for group in op.attrs.get("_class", ())]
        for name in [*names, op.name]:
            yield op, first.setdefault(name, op)


def connected(ops):
    """Pairs of operations that a reference or resource ties together."""
    for op in ops:
        if op_kind(op) in READERS:
            yield from ((op, tensor.op) for tensor in op.inputs)


def attempt(toys, text, soft):
    """The operations and their placement; None, after a look at the error, when there is none."""
    ops = toys.graph(text).get_operations()
    placer = toys.placer(MIXED, soft=soft)
    try:
        placement = placer.place(ops, {})
    except InvalidArgumentError as error:
        # It names an operation, and a constraint that someone asked for.
        assert error.op in ops
        assert re.search(rf"\b{error.op.name}\b", error.message)
        asked = [op.device for op in ops if op.device]
        assert "no device type supports both" in error.message or any(
            # Merged requests are told merged: each part stands there still.
            part in error.message
            for request in asked
            for part in request[1:].split("/")
        )
        return ops, None
    assert set(placement) == set(ops)
    assert all(isinstance(placer.decision(op), Decision) for op in ops)
    # Once placed, always placed so.
    assert placer.place(ops, placement) == placement
    return ops, placement


@settings(max_examples=300, deadline=None)
@given(text=graphs(), soft=st.booleans())
def test_a_placement_satisfies_every_constraint(toys, text, soft):
    ops, placement = attempt(toys, text, soft)
    if placement is None:
        return
    for one, other in connected(ops):
        assert placement[one] is placement[other]
    for op, device in placement.items():
        assert device.device_type in OPS[op_kind(op)][2]
        request, name = parse_device_name(op.device), parse_device_name(device.name)
        if op_kind(op) in READERS:
            continue  # what it asks for gives way to its source
        assert request._replace(device_type=None, device_index=None).matches(name)
        assert soft or request.matches(name)
    if not soft:
        for one, other in colocated(ops):
            assert placement[one] is placement[other]


@settings(max_examples=300, deadline=None)
@given(text=graphs(handles=False))
def test_hard_placement_fails_only_where_no_placement_exists(toys, text):
    ops, placement = attempt(toys, text, soft=False)
    groups = {op: {op} for op in ops}
    for one, other in colocated(ops):
        union = groups[one] | groups[other]
        groups.update(dict.fromkeys(union, union))
    devices = [(d.device_type, parse_device_name(d.name)) for d in toys.devices(MIXED)]
    possible = all(
        any(
            all(
                device_type in OPS[op_kind(op)][2] and parse_device_name(op.device).matches(name)
                for op in members
            )
            for device_type, name in devices
        )
        for members in groups.values()
    )
    assert (placement is not None) == possible
