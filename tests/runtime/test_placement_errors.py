"""The texts of the errors of placing: what is asked, what there is, who is in the way."""

import pytest

from tfsession.core.errors import InvalidArgumentError

FULL = "/job:localhost/replica:0/task:0/device:"
CPUS = "CPU:0 CPU:1 CPU:2 CPU:3"
MIXED = "CPU:0 CPU:1 GPU:0 GPU:1"

ALL = ", ".join(f"{FULL}CPU:{i}" for i in range(4))
MISSING = (
    "Cannot assign a device for operation a: {{{{node a}}}} was explicitly assigned to {} but "
    "available devices are [ {} ]. Make sure the device specification refers to a valid device.{}"
    "\n\t [[a]]"
)
NO_CUDA = " The requested device appears to be a GPU, but CUDA is not enabled."
MERGE = (
    "Cannot colocate nodes {{{{colocation_node b}}}} and {{{{colocation_node a}}}}: Cannot merge "
    "devices with incompatible {}\n\t [[{{{{node b}}}}]]"
)


# Texts of hard placement; those with True are the same in soft placement.
FAILS = {
    "gpu": (CPUS, "a=Make@/gpu:0", "a", MISSING.format("/device:GPU:0", ALL, NO_CUDA), False),
    "index": (CPUS, "a=Make@/cpu:9", "a", MISSING.format("/device:CPU:9", ALL, ""), False),
    "type": (
        CPUS,
        "a=Make@/device:FOO:0",
        "a",
        MISSING.format("/device:FOO:0", ALL, ""),
        False,
    ),
    "job": (CPUS, "a=Make@/job:ps", "a", MISSING.format("/job:ps", ALL, ""), True),
    "task": (CPUS, "a=Make@/task:1", "a", MISSING.format("/task:1", ALL, ""), True),
    "replica": (CPUS, "a=Make@/replica:1", "a", MISSING.format("/replica:1", ALL, ""), True),
    "gpu index": (
        "CPU:0 GPU:0",
        "a=Make@/gpu:3",
        "a",
        MISSING.format("/device:GPU:3", f"{FULL}CPU:0, {FULL}GPU:0", ""),
        False,
    ),
    "malformed": (
        CPUS,
        "a=Make b=Make@garbage^a",
        "b",
        "Malformed device specification 'garbage' in node: {name:'b' id:3 op device:{requested: "
        "'garbage', assigned: ''} def:{{{node b}} = PlaceMake[T=DT_FLOAT, _device=\"garbage\"]"
        "(^a)}}\n\t [[b]]",
        True,
    ),
    "ids": (
        CPUS,
        "a=Make@/cpu:1 b=Make@/cpu:2~a",
        "b",
        MERGE.format("ids: '/device:CPU:2' and '/device:CPU:1'"),
        False,
    ),
    "types": (
        CPUS,
        "a=Make@/cpu:1 b=Make@/gpu:2~a",
        "b",
        MERGE.format("types: '/device:GPU:2' and '/device:CPU:1'"),
        False,
    ),
    "jobs": (
        CPUS,
        "a=Make@/job:a b=Make@/job:localhost~a",
        "b",
        MERGE.format("jobs: '/job:localhost' and '/job:a'"),
        False,
    ),
    "tasks": (
        CPUS,
        "a=Make@/task:0 b=Make@/task:1~a",
        "b",
        MERGE.format("tasks: '/task:1' and '/task:0'"),
        False,
    ),
    "replicas": (
        CPUS,
        "a=Make@/replica:0 b=Make@/replica:1~a",
        "b",
        MERGE.format("replicas: '/replica:1' and '/replica:0'"),
        False,
    ),
    "merged so far": (
        CPUS,
        "a=Make@/job:localhost/cpu:1 b=Make@/task:0/cpu:2~a",
        "b",
        MERGE.format("ids: '/job:localhost/task:0/device:CPU:2' and '/job:localhost/device:CPU:1'"),
        False,
    ),
    "no kernel at all": (
        CPUS,
        "a=Make b=Missing(a)",
        "b",
        "No OpKernel was registered to support Op 'PlaceMissing' used by {{node b}} with these "
        'attrs: [k=3, s="a"]\nRegistered devices: [CPU]\nRegistered kernels:\n'
        "  <no registered kernels>\n\n\t [[b]]",
        True,
    ),
    "no kernel for the dtype": (
        MIXED,
        "a=Make{T=int32} b=Floats(a)",
        "b",
        "No OpKernel was registered to support Op 'PlaceFloats' used by {{node b}} with these "
        "attrs: [T=DT_INT32]\nRegistered devices: [CPU, GPU]\nRegistered kernels:\n"
        "  device='CPU'; T in [DT_FLOAT, DT_HALF]\n  device='GPU'; T in [DT_FLOAT, DT_HALF]\n\n"
        "\t [[b]]",
        True,
    ),
    "no kernel for the device": (
        CPUS,
        "a=Make b=GpuOnly(a)",
        "b",
        "No OpKernel was registered to support Op 'PlaceGpuOnly' used by {{node b}} with these "
        "attrs: [T=DT_FLOAT]\nRegistered devices: [CPU]\nRegistered kernels:\n  device='GPU'\n\n"
        "\t [[b]]",
        True,
    ),
    "no kernel where asked": (
        MIXED,
        "a=Make b=CpuOnly(a)@/gpu:1",
        "b",
        "Cannot assign a device for operation b: Could not satisfy explicit device specification "
        "'/device:GPU:1' because no supported kernel for GPU devices is available.\n"
        "Colocation Debug Info:\n"
        "Colocation group had the following types and supported devices: \n"
        "Root Member(assigned_device_name_index_=-1 requested_device_name_='/device:GPU:1' "
        "assigned_device_name_='' resource_device_name_='' supported_device_types_=[CPU] "
        "possible_devices_=[]\nPlaceCpuOnly: CPU \n\n"
        "Colocation members, user-requested devices, and framework assigned devices, if any:\n"
        "  b (PlaceCpuOnly) /device:GPU:1\n\n"
        "Op: PlaceCpuOnly\nNode attrs: T=DT_FLOAT\nRegistered kernels:\n  device='CPU'\n\n"
        "\t [[{{node b}}]]",
        False,
    ),
    "group asked for something else": (
        CPUS,
        "a=Make@/cpu:1 b=Make@/task:1~a",
        "a",
        "Cannot assign a device for operation a: Could not satisfy explicit device specification "
        "'/device:CPU:1' because the node {{colocation_node a}} was colocated with a group of "
        "nodes that required incompatible device '/task:1/device:CPU:1'. All available devices "
        f"[{ALL}]. \nColocation Debug Info:\n"
        "Colocation group had the following types and supported devices: \n"
        "Root Member(assigned_device_name_index_=-1 requested_device_name_='/task:1/device:CPU:1' "
        "assigned_device_name_='' resource_device_name_='' supported_device_types_=[CPU] "
        "possible_devices_=[]\nPlaceMake: CPU \n\n"
        "Colocation members, user-requested devices, and framework assigned devices, if any:\n"
        "  a (PlaceMake) /device:CPU:1\n  b (PlaceMake) /task:1\n\n\t [[{{node a}}]]",
        True,
    ),
    "one of a group": (
        CPUS,
        "a=Make b=Make@/cpu:1~a c=Make@/job:localhost~a d=Map(a)@/cpu:2~c",
        "d",
        "Cannot colocate nodes {{colocation_node d}} and {{colocation_node c}}: Cannot merge "
        "devices with incompatible ids: '/job:localhost/device:CPU:1' and '/device:CPU:2'\n"
        "In conflict: 'b' (PlaceMake) asks for /device:CPU:1, 'd' (PlaceMap) asks for "
        "/device:CPU:2\n\t [[{{node d}}]]",
        False,
    ),
    "resources apart": (
        CPUS,
        "v=State@/cpu:1 m=State@/cpu:2 w=UseTwo(v,m)",
        "w",
        "Cannot place the graph because a reference or resource edge connects colocation groups "
        "with incompatible resource devices: /device:CPU:2 vs /device:CPU:1. The edge src node is "
        "name='m' (op='PlaceState'), and the dst node is name='w' (op='PlaceUseTwo').\n"
        "In conflict: 'm' (PlaceState) asks for /device:CPU:2, 'v' (PlaceState) asks for "
        "/device:CPU:1",
        True,
    ),
    "source against resource": (
        CPUS,
        "v=State i=Map(v)@/cpu:3 m=State@/cpu:2 w=UseTwo(m,i)",
        "w",
        "Nodes were connected by a reference or resource connection (requiring them to be on the "
        "same device), but the two nodes were assigned two different devices: Cannot colocate "
        "nodes {{colocation_node i}} and {{colocation_node w}}: Cannot merge devices with "
        "incompatible ids: '/device:CPU:3' and '/device:CPU:2'\n"
        "In conflict: 'i' (PlaceMap) asks for /device:CPU:3, 'm' (PlaceState) asks for "
        "/device:CPU:2\n\t [[{{node w}}]]",
        False,
    ),
}


@pytest.mark.parametrize("row", FAILS)
def test_error(toys, row):
    names, nodes, culprit, text, also_soft = FAILS[row]
    with pytest.raises(InvalidArgumentError) as caught:
        toys.placed(names, nodes)
    assert caught.value.message == text
    assert caught.value.op.name == caught.value.node_def.name == culprit
    if also_soft:
        with pytest.raises(InvalidArgumentError) as caught:
            toys.placed(names, nodes, soft=True)
        assert caught.value.message == text


def test_no_device_type_for_a_group(toys):
    with pytest.raises(InvalidArgumentError) as caught:
        toys.placed(MIXED, "a=Make b=CpuOnly(a) c=GpuOnly(a)~b")
    start, _, rest = caught.value.message.partition("\nColocation Debug Info:")
    assert start == (
        "Cannot colocate nodes {{colocation_node c}} and {{colocation_node b}} because no device "
        "type supports both of those nodes and the other nodes colocated with them."
    )
    assert "PlaceGpuOnly: GPU " in rest
    assert "PlaceCpuOnly: CPU " in rest


def test_conflict_over_a_resource_in_soft_placement(toys):
    names, nodes, *_ = FAILS["source against resource"]
    assert set(toys.placed(names, nodes, soft=True).values()) == {"CPU:2"}


KEPT_APART = (
    "Cannot place the graph because a reference or resource edge connects colocation groups with "
    f"incompatible assigned devices: {FULL}CPU:2 vs {FULL}CPU:0. The edge src node is name='m' "
    "(op='PlaceState'), and the dst node is name='w' (op='PlaceUseTwo').\n"
    f"In conflict: 'm' (PlaceState) is on {FULL}CPU:2, 'v' (PlaceState) is on {FULL}CPU:0"
)
KEPT_ELSEWHERE = (
    "Cannot colocate nodes {{colocation_node c}} and {{colocation_node m}}: Cannot merge devices "
    f"with incompatible ids: '{FULL}CPU:1' and '{FULL}CPU:2'\n\t [[{{{{node c}}}}]]"
)


@pytest.mark.parametrize(
    ("later", "text"), [("w=UseTwo(v,m)", KEPT_APART), ("c=Make@/cpu:1~m", KEPT_ELSEWHERE)]
)
def test_what_was_placed_before_is_not_moved(toys, later, text):
    with toys.growing(CPUS) as grow:
        grow("v=State m=State@/cpu:2")
        with pytest.raises(InvalidArgumentError) as caught:
            grow(later)
        assert caught.value.message == text


def test_what_was_placed_before_is_told(toys):
    with toys.growing(MIXED) as grow:
        grow("v=State@/gpu:1")
        with pytest.raises(InvalidArgumentError) as caught:
            grow("a=Make w=Use(v) x=CpuOnly(a)~v")
        text = caught.value.message
        assert text.startswith("Cannot assign a device for operation w: Could not satisfy explicit")
        assert f"assigned_device_name_='{FULL}GPU:1'" in text
        assert f"  v (PlaceState) /device:GPU:1 framework assigned device={FULL}GPU:1\n" in text
