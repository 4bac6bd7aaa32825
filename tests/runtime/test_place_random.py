"""Random graphs: a placement that satisfies every constraint, or one error that says which not.

The ops have random sets of kernels; requests, groups, references and resources are random too.
"""

import os
import random
import re

import pytest

from tfsession.core.device_spec import canonical, parse_device_name
from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.graph import Graph
from tfsession.runtime.decision import Decision, Reason
from tfsession.runtime.place import Placer

# Many more, once: TFSESSION_TEST_EXAMPLES=100000.
EXAMPLES = int(os.environ.get("TFSESSION_TEST_EXAMPLES", "1000"))

SESSIONS = ("CPU:0", "CPU:0 CPU:1 CPU:2", "CPU:0 GPU:0", "CPU:0 CPU:1 GPU:0 GPU:1", "CPU:2 CPU:10")
# What an op reads and makes: values, handles of resources, references; state is kept.
FORMS = {
    "Make": ("", "v"),
    "Map": ("v", "v"),
    "Join": ("vv", "v"),
    "State": ("", "h"),
    "Use": ("h", ""),
    "UseTwo": ("hh", "v"),
    "Ref": ("", "r"),
    "Bump": ("r", "r"),
    "BumpBy": ("rv", "r"),
}
STATEFUL = {"State", "Ref"}
# The kernels of an op: the device types, and the dtypes that they take (all, if none is named).
KERNELS = {
    "": [("CPU", None), ("GPU", None)],
    "Any": [(None, None)],
    "Cpu": [("CPU", None)],
    "Gpu": [("GPU", None)],
    "Floats": [("CPU", None), ("GPU", ["float", "half"])],
    "Halves": [("CPU", ["float"]), ("GPU", ["half"])],
}
DTYPES = ("float32", "float32", "float16", "int32", "string")
HOSTS = ("",) * 6 + ("/job:localhost", "/replica:0", "/task:0", "/job:ps", "/task:1", "/job:*")
KINDS = ("",) * 12 + ("/cpu:0", "/cpu:1", "/gpu:0", "/gpu:1", "/cpu:*", "/gpu", "/cpu:5", "/cpu:10")
KINDS += ("/device:*:1", "/device:*:*", "/device:FOO:0", "/device:cpu:0", "/device:gpu:*")


def _op_type(form, kernels):
    return f"Random{form}{kernels}"


@pytest.fixture(scope="module", autouse=True)
def random_ops(toys):
    """Every form with every set of kernels."""
    from tfsession.core.op_def import define_op, ops  # noqa: PLC0415
    from tfsession.core.rules import kernel  # noqa: PLC0415

    args = {"v": "T", "h": "resource", "r": "Ref(T)"}
    for form, (reads, makes) in FORMS.items():
        for name, kernels in KERNELS.items():
            op_type = _op_type(form, name)
            if op_type in ops:
                continue
            inputs = [f"x{i}: {args[kind]}" for i, kind in enumerate(reads)]
            outputs = [f"y{i}: {args[kind]}" for i, kind in enumerate(makes)]
            define_op(op_type, inputs, outputs, ["T: type"], stateful=form in STATEFUL)
            for device, types in kernels:
                limits = {} if types is None else {"types": {"T": types}}
                where = {} if device is None else {"device": device}
                kernel(op_type, **where, **limits)(lambda xp, *inputs: None)


class Case:
    """One random graph, its devices, and what may be known of it without placing it."""

    def __init__(self, toys, seed):
        self.pick = random.Random(seed)
        self.names = self.pick.choice(SESSIONS)
        self.graph = Graph()
        self.text = []
        self.kernels = {}
        made = {"v": [], "h": [], "r": []}
        tame = self.pick.random() < 0.5  # a tame graph can mostly be placed
        for number in range(self.pick.randint(1, 12)):
            self._add(number, made, tame)
        self.ops = self.graph.get_operations()
        self.devices = [(d, parse_device_name(d.name)) for d in toys.devices(self.names)]

    def _add(self, number, made, tame):
        from tfsession.graph.create import create_operation  # noqa: PLC0415

        pick = self.pick
        dtype = "float32" if tame and pick.random() < 0.9 else pick.choice(DTYPES)
        fitting = []
        for form, (reads, _) in FORMS.items():
            pools = [[x for d, x in made[kind] if kind == "h" or d == dtype] for kind in reads]
            if all(pools):
                fitting.append((form, pools))
        form, pools = pick.choice(fitting)
        kernels = pick.choice(("", "Any") if tame and pick.random() < 0.8 else tuple(KERNELS))
        inputs = [pick.choice(pool) for pool in pools]
        waits = [pick.choice(self.graph.get_operations())] if number and pick.random() < 0.1 else []
        with self.graph.as_default(), self.graph.control_dependencies(waits):
            op = create_operation(_op_type(form, kernels), inputs, {"T": dtype}, name=f"n{number}")
        self.kernels[op] = kernels
        if pick.random() < (0.3 if tame else 0.6):
            host, kind = pick.choice(HOSTS), pick.choice(KINDS)
            op._set_device(canonical(("" if tame else host) + kind))
        if pick.random() < (0.1 if tame else 0.3):
            names = [f"n{pick.randint(0, number + 1)}" for _ in range(pick.randint(1, 2))]
            op.attrs["_class"] = [b"loc:@" + name.encode() for name in names]
        if op.outputs:
            made[FORMS[form][1]].append((dtype, op.outputs[0]))
        groups = [group.decode() for group in op.attrs.get("_class", ())]
        reads = [x.op.name for x in op.inputs]
        reads += [f"^{control.name}" for control in op.control_inputs]
        self.text.append(f"{op.name} = {op.type}({reads}, {dtype}) {op.device} {groups}")

    def placer(self, soft):
        devices = [device for device, _ in self.devices]
        return Placer(devices, allow_soft_placement=soft, log_device_placement=False)

    def types(self, op):
        """The device types of the session with a kernel for `op`."""
        kernels = KERNELS[self.kernels[op]]
        dtype = op.attrs["T"].name
        short = {"float32": "float", "float16": "half"}.get(dtype, dtype)
        found = set()
        for device, _ in self.devices:
            kind = device.device_type
            takes = any(k in (None, kind) and (t is None or short in t) for k, t in kernels)
            if takes and not (kind == "GPU" and dtype == "string"):
                found.add(kind)
        return found

    def handle_pairs(self):
        for op in self.ops:
            for tensor in op.inputs:
                if tensor.dtype.name == "resource" or (
                    "Bump" in op.type and tensor.dtype._is_ref_dtype
                ):
                    yield op, tensor.op

    def class_pairs(self):
        first = {}
        for op in self.ops:
            names = [group.decode().removeprefix("loc:@") for group in op.attrs.get("_class", ())]
            for name in [*names, op.name]:
                yield op, first.setdefault(name, op)

    def components(self, pairs):
        """The operations of each operation's group, by the pairs that tie them."""
        groups = {op: {op} for op in self.ops}
        for one, other in pairs:
            union = groups[one] | groups[other]
            groups.update(dict.fromkeys(union, union))
        return groups


def agree(name, other):
    return all(a is None or b is None or a == b for a, b in zip(name, other, strict=True))


def check_placement(case, placement, soft):
    """Every constraint holds."""
    assert sorted(placement, key=lambda op: op._id) == case.ops
    tied = case.components(case.handle_pairs())
    for one, other in case.handle_pairs():
        assert placement[one] is placement[other]
    for op, device in placement.items():
        request, name = parse_device_name(op.device), parse_device_name(device.name)
        assert device.device_type in case.types(op)
        requests = [parse_device_name(other.device) for other in tied[op]]
        if all(agree(request, other) for other in requests):
            # Else what a reader asks for gives way to its source.
            assert request._replace(device_type=None, device_index=None).matches(name)
            assert soft or request.matches(name)
    if not soft:
        for one, other in case.class_pairs():
            assert placement[one] is placement[other]


def check_error(case, error, soft):
    """It names an operation, a constraint that is there, and who is in conflict."""
    text, op = error.message, error.op
    assert op in case.ops
    assert re.search(rf"\b{op.name}\b", text)
    both = components = case.components([*case.handle_pairs(), *case.class_pairs()])
    devices = {name for _, name in case.devices}
    own = parse_device_name(op.device)
    if text.startswith("No OpKernel was registered"):
        assert not case.types(op)
    elif "was explicitly assigned to" in text:
        assert f"assigned to {op.device} but" in text
        assert not any(own.matches(name) for name in devices)
    elif "no supported kernel for" in text:
        kind = re.search(r"no supported kernel for (\w+) devices", text)[1]
        assert own.device_type == kind
        assert any(kind not in case.types(member) for member in both[op])
        assert f"  {op.name} ({op.type}) {op.device}" in text
    elif "that required incompatible device" in text:
        assert len(components[op]) > 1
        # The debug block lists who asks for what.
        asking = re.findall(r"^  (\w+) \(\w+\) (/\S+)$", text, re.M)
        assert len(asking) > bool(op.device)
    elif "no device type supports both" in text:
        assert not set.intersection(*(case.types(member) for member in both[op]))
    elif "Could not satisfy explicit device specification" in text:
        assert any(not own.matches(name) or case.types(op) for name in devices)
    else:
        # Two requests: those of two operations that the text names.
        names = set(re.findall(r"colocation_node (\w+)|name='(\w+)'|'(n\d+)' \(", text))
        named = [case.graph.get_operation_by_name(next(filter(None, hit))) for hit in names]
        requests = [parse_device_name(each.device) for each in named]
        assert any(not agree(one, other) for one in requests for other in requests), text
        assert all(each in both[op] for each in named)


def attempt(case, soft):
    placer = case.placer(soft)
    try:
        placement = placer.place(case.ops, {})
    except InvalidArgumentError as error:
        check_error(case, error, soft)
        return None
    check_placement(case, placement, soft)
    decisions = [placer.decision(op) for op in case.ops]
    assert all(isinstance(decision, Decision) for decision in decisions)
    assert all(d.other is None or d.other in case.ops for d in decisions)
    asked = [op for op, d in zip(case.ops, decisions, strict=True) if d[0] is Reason.REQUESTED]
    assert all(op.device for op in asked)
    # State stays; what waits for it may now go after it, once.
    again = placer.place(case.ops, placement)
    check_placement(case, again, soft)
    assert all(again[op] is placement[op] for op in case.ops if op.op_def.is_stateful)
    assert placer.place(case.ops, again) == again
    return placement


def check_growth(case, soft):
    """State stays where it was, and a failure keeps nothing of what it began."""
    placer = case.placer(soft)
    before = case.ops[: case.pick.randint(0, len(case.ops))]
    try:
        placement = placer.place(before, {})
    except InvalidArgumentError:
        return
    try:
        later = placer.place(case.ops, placement)
    except InvalidArgumentError as error:
        assert error.op in case.ops
        assert re.search(rf"\b{error.op.name}\b", error.message)
        later = placer.place(before, placement)
    for op in before:
        assert later[op] is placement[op] or not op.op_def.is_stateful


def can_be_placed(case):
    """Whether hard placement has an answer, for graphs without references and resources."""
    groups = case.components(case.class_pairs())
    return all(
        any(
            all(
                device.device_type in case.types(op) and parse_device_name(op.device).matches(name)
                for op in members
            )
            for device, name in case.devices
        )
        for members in groups.values()
    )


@pytest.mark.parametrize("part", range(10))
def test_random_graphs(toys, part):
    placed, seeds = 0, range(part, EXAMPLES, 10)
    for seed in seeds:
        case = Case(toys, seed)
        try:
            hard, soft = attempt(case, False), attempt(case, True)
            assert hard is None or soft == hard
            if not any(case.handle_pairs()):
                assert (hard is not None) == can_be_placed(case)
            check_growth(case, seed % 2)
        except AssertionError as error:
            raise AssertionError("\n".join([f"seed {seed}: {case.names}", *case.text])) from error
        placed += hard is not None
    # The set is worth something: graphs that can be placed, and graphs that cannot.
    assert 0.25 < placed / len(seeds) < 0.75
