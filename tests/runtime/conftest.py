"""Toy ops and graphs in one line, for the tests of placing."""

import re
from contextlib import contextmanager

import pytest

FULL = "/job:localhost/replica:0/task:0/device:"

# Inputs, outputs, attributes, and the properties of the kernel; None where there is none.
_TOYS = {
    "Make": ([], ["y: T"], ["T: type = DT_FLOAT"], {}),
    "Map": (["x: T"], ["y: T"], ["T: type"], {}),
    "Each": (["xs: Ts"], [], ["Ts: list(type)"], {}),
    "CpuOnly": (["x: T"], ["y: T"], ["T: type"], {"device": "CPU"}),
    "GpuOnly": (["x: T"], ["y: T"], ["T: type"], {"device": "GPU"}),
    "Floats": (["x: T"], ["y: T"], ["T: type"], {"types": {"T": ["float", "half"]}}),
    "HostText": (["x: float", "text: string"], ["y: float"], [], {"host": ["text"]}),
    "Behind": ([], ["h: resource"], ["dtype: type"], {}),
    "Box": (["x: T"], ["h: variant"], ["T: type"], {}),
    "Unbox": (["h: variant"], ["y: T"], ["T: type = DT_FLOAT"], {}),
    "Ref": ([], ["r: Ref(float)"], [], {}),
    "Bump": (["r: Ref(float)"], ["o: Ref(float)"], [], {}),
    "State": ([], ["h: resource"], [], {}),
    "Use": (["h: resource"], [], [], {}),
    "UseTwo": (["a: resource", "b: resource"], [], [], {}),
    "Missing": (["x: float"], [], ["k: int = 3", "s: string = 'a'"], None),
    "GraphOnly": (["x: float"], [], [], None),
}
_STATEFUL = ("Ref", "State", "Behind")

_NODE = re.compile(
    r"(?P<name>\w+)=(?P<type>\w+)(?:\((?P<inputs>[^)]*)\))?(?:\{(?P<attrs>[^}]*)\})?"
    r"(?:@(?P<device>[^~^]+))?(?P<groups>(?:~\w+)*)(?P<controls>(?:\^\w+)*)"
)


def _canonical(device):
    from tfsession.core.device_spec import canonical  # noqa: PLC0415

    try:
        return canonical(device)
    except ValueError:
        return device


class Toys:
    """Graphs of toy ops, placed on toy devices.

    A graph is a text: `v=Ref@/cpu:1 w=Bump(v)~v^a` are a node at a device, and one that reads it,
    is colocated with it and waits for `a`; `Make{T=string}` has an attribute.
    """

    def __init__(self):
        from tfsession.core.op_def import define_op, ops  # noqa: PLC0415
        from tfsession.core.rules import kernel  # noqa: PLC0415

        self._ops = ops
        for name, (inputs, outputs, attrs, properties) in _TOYS.items():
            if f"Place{name}" in ops:
                continue
            flags = {"stateful": name in _STATEFUL, "graph_only": name == "GraphOnly"}
            define_op(f"Place{name}", inputs, outputs, attrs, **flags)
            if properties is not None:
                kernel(f"Place{name}", **properties)(lambda xp, *inputs: None)

    def add(self, graph, text):
        """Add the nodes of `text` to a graph."""
        from tfsession.graph.create import create_operation  # noqa: PLC0415

        for part in text.split():
            node = _NODE.fullmatch(part)
            op_type = f"Place{node['type']}" if node["type"] in _TOYS else node["type"]
            names = node["inputs"].split(",") if node["inputs"] else []
            tensors = [graph.get_operation_by_name(name).outputs[0] for name in names]
            attrs = dict(pair.split("=") for pair in (node["attrs"] or "").split(",") if pair)
            controls = [graph.get_operation_by_name(n) for n in node["controls"].split("^")[1:]]
            with graph.as_default(), graph.control_dependencies(controls):
                inputs = [tensors] if node["type"] == "Each" else tensors
                op = create_operation(op_type, inputs, attrs, name=node["name"])
            op._set_device(_canonical(node["device"] or ""))
            if node["groups"]:
                op.attrs["_class"] = [b"loc:@" + n.encode() for n in node["groups"].split("~")[1:]]

    def graph(self, text):
        """A graph of the nodes of `text`."""
        from tfsession.graph.graph import Graph  # noqa: PLC0415

        graph = Graph()
        self.add(graph, text)
        return graph

    def devices(self, names):
        """Toy devices, such as "CPU:0 GPU:0"."""
        from tfsession.devices.cpu import CpuDevice  # noqa: PLC0415
        from tfsession.devices.device import Device  # noqa: PLC0415

        class Gpu(CpuDevice):
            def __init__(self, index):
                Device.__init__(self, "GPU", index, 1 << 20, f"device: {index}, name: Toy")

        kinds = {"CPU": CpuDevice, "GPU": Gpu}
        return [kinds[kind](int(index)) for kind, index in (n.split(":") for n in names.split())]

    def placer(self, names, *, soft=False, log=False):
        """A placer on toy devices."""
        from tfsession.runtime.place import Placer  # noqa: PLC0415

        return Placer(self.devices(names), allow_soft_placement=soft, log_device_placement=log)

    def placed(self, names, text, *, soft=False, only=None):
        """The short device name of each node, or of those in `only`, placed by themselves."""
        ops = [op for op in self.graph(text).get_operations() if only is None or op.name in only]
        return self.short(self.placer(names, soft=soft).place(ops, {}))

    @staticmethod
    def short(placement):
        """A placement by names, without the part that all device names share."""
        return {op.name: device.name.removeprefix(FULL) for op, device in placement.items()}

    @contextmanager
    def growing(self, names, **options):
        """A function that adds nodes to one graph and places all of it again."""
        graph, placer, placement = self.graph(""), self.placer(names, **options), {}

        def grow(text):
            nonlocal placement
            self.add(graph, text)
            placement = placer.place(graph.get_operations(), placement)
            return self.short(placement)

        yield grow


@pytest.fixture(scope="session")
def toys():
    import tfsession  # noqa: F401, PLC0415  (registers the op families)

    return Toys()
