"""`import_graph_def`: the nodes of a GraphDef as operations of the default graph.

A GraphDef is imported wholly or not at all: operations enter the graph when all of them are made.
"""

from __future__ import annotations

import heapq
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.collections_off import no_collections
from tfsession.core.device_spec import canonical
from tfsession.core.errors import NotFoundError
from tfsession.core.exports import export
from tfsession.core.op_def import AttrDef, OpDef, ops
from tfsession.core.op_def_proto import op_def_from_proto
from tfsession.graph import external_value, node_builder
from tfsession.graph.attr_defaults import drop_foreign_defaults, fill_defaults
from tfsession.graph.build import (
    arg_types,
    enter_context,
    enter_scopes,
    infer_shapes,
)
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_def import PRODUCER, check_versions
from tfsession.graph.import_arguments import (
    CONTROL,
    Source,
    as_graph_def,
    check_input_map,
    check_return_elements,
    map_sources,
    parse_tensor_name,
)
from tfsession.graph.loaded import mark_loaded
from tfsession.graph.operation import Operation, capture_frames
from tfsession.graph.scopes import implied_controls, merge_device_stack
from tfsession.graph.tensor import Tensor

logger = logging.getLogger("tfsession")

_NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_DATA_INPUT = re.compile(r"(.+):(\d+)", re.S)
# What the attributes must be that are read here without being in an op's definition.
_PRIVATE = {
    name: AttrDef.make(name=name, type=kind)
    for name, kind in (("_class", "list(string)"), ("_output_shapes", "list(shape)"))
}
_LOOP_BACK = frozenset({"NextIteration", "RefNextIteration"})
_MERGES = frozenset({"Merge", "RefMerge"})


@export("import_graph_def", "graph_util.import_graph_def")
def import_graph_def(
    graph_def: Any,
    input_map: dict[str, Any] | None = None,
    return_elements: Iterable[str] | None = None,
    name: str | None = None,
    op_dict: Any = None,
    producer_op_list: Any = None,
) -> list[Any] | None:
    """Add the nodes of a GraphDef to the default graph.

    Args:
        graph_def: a GraphDef; missing attributes that have a default are filled in. One of another
            package is copied.
        input_map: tensors, or what can be converted to them, by the name of an input in the
            GraphDef that they take the place of: `"a"`, `"a:1"`, `"^a"`.
        return_elements: names of tensors (`"a:0"`) and operations (`"a"`) to give back.
        name: prefix of the names of all nodes, "import" by default; "" for none.
        op_dict: not used.
        producer_op_list: an OpList of the program that wrote the graph; attributes that are not
            known here are dropped where they have the default of that list.

    Returns:
        The operations and tensors in `return_elements`; None without it.

    Raises:
        TypeError: an argument is of a wrong type.
        ValueError: the GraphDef, or a name in the arguments, is not valid. The graph is left as it
            was.
        NotFoundError: an op type is not known.
    """
    return import_message(graph_def, input_map, return_elements, name, producer_op_list)


def import_message(
    graph_def: Any,
    input_map: dict[str, Any] | None = None,
    return_elements: Iterable[str] | None = None,
    name: str | None = None,
    producer_op_list: Any = None,
    values: Mapping[str, Any] | None = None,
    origin: str = "an imported GraphDef",
) -> list[Any] | None:
    """As `import_graph_def`.

    `values` are those of constants that lie elsewhere, by node; `origin` tells where the graph came
    from.
    """
    message = as_graph_def(graph_def)
    mapped = check_input_map(input_map)
    wanted = None if return_elements is None else check_return_elements(return_elements)
    if producer_op_list is not None:
        drop_foreign_defaults(message, producer_op_list)
    fill_defaults(message)
    graph = get_default_graph()
    graph._check_not_finalized()
    with graph.name_scope("import" if name is None else name) as scope:
        sources = map_sources(graph, mapped, scope)
        with graph._lock, no_collections():
            importer = _Importer(graph, message, scope, sources)
            importer.values = values or {}
            importer.make_operations()
            found = [importer.element(text) for text in wanted or ()]
            importer.check_map()
            importer.enter_graph()
            mark_loaded(
                graph, importer.operations.values(), importer.new_functions, message, origin
            )
    # Under the names of the caller's scope, as what a branch brings in otherwise.
    enter_context(list(importer.operations.values()), graph._scopes)
    return None if wanted is None else found


def import_nodes(
    graph: Graph, graph_def: Any, scope: str, mapped: dict[tuple[str, int], Tensor]
) -> dict[str, Operation]:
    """The nodes of a GraphDef in a graph, by their names there.

    Args:
        graph: takes the operations, under its scopes.
        graph_def: with inputs all of which are nodes of it or in `mapped`; it is changed.
        scope: begins the names of the operations.
        mapped: by node and number, the tensors that are read instead; of any graph.

    Raises:
        ValueError: the GraphDef is not valid.
        NotFoundError: an op type is not known.
    """
    fill_defaults(graph_def)
    with graph._lock, no_collections():
        importer = _Importer(graph, graph_def, scope, mapped)
        importer.make_operations()
        importer.enter_graph()
    return importer.operations


# --- nodes ----------------------------------------------------------------------------------------


class _Importer:
    """One import: nodes on their way to operations."""

    def __init__(
        self, graph: Graph, message: Any, scope: str, mapped: dict[Source, Tensor]
    ) -> None:
        check_versions(message.versions)
        self.is_of_old = 0 < message.versions.producer < PRODUCER
        self.graph = graph
        self.message = message
        self.scope = scope
        self.mapped = mapped
        self.values: Mapping[str, Any] = {}
        self.used: set[Source] = set()
        self.nodes = list(message.node)
        self.functions = self._functions_of_message()
        known = graph._functions
        self.new_functions = {n: f for n, f in self.functions.items() if n not in known}
        self.function_defs = {
            name: op_def_from_proto(function.signature)
            for name, function in {**graph._functions, **self.functions}.items()
        }
        self.index: dict[str, int] = {}
        self.op_defs: list[OpDef] = []
        self.inputs: list[tuple[Source, ...]] = []
        self._sources: dict[str, Source] = {}  # by how nodes call them
        self.operations: dict[str, Operation] = {}
        self.names: dict[str, str] = {}
        self.frames = capture_frames()
        self._index_nodes()

    def _functions_of_message(self) -> dict[str, Any]:
        known = self.graph._functions
        functions: dict[str, Any] = {}
        for function in self.message.library.function:
            name = function.signature.name
            if known.get(name, functions.get(name, function)) != function:
                raise ValueError(
                    f"Cannot add function '{name}' because a different function with the same name "
                    "already exists."
                )
            functions[name] = function
        return functions

    def _index_nodes(self) -> None:
        for position, node in enumerate(self.nodes):
            name = node.name
            if not _NODE_NAME.fullmatch(name):
                raise ValueError(f"Node '{name}': Node name contains invalid characters")
            if name in self.index:
                raise ValueError(f"Node '{name}' is not unique")
            self.index[name] = position
            if not node.op:
                raise ValueError(f"Node '{name}' does not specify an operation")
            op_def = ops.get(node.op) or self.function_defs.get(node.op)
            if op_def is None:
                raise NotFoundError(None, None, node_builder.not_registered(node.op))
            self.op_defs.append(op_def)
            self.inputs.append(self._parse_inputs(name, node.input))
        for text, source in self._sources.items():
            if source[0] not in self.index and source not in self.mapped:
                reader = next(node.name for node in self.nodes if text in node.input)
                raise ValueError(f"Node '{reader}': Unknown input node '{text}'")
        taken = {self.scope + name for name in self.index}
        for name in self.index:
            self.names[name] = self._unique(self.scope + name, taken)

    def _parse_inputs(self, node_name: str, texts: Iterable[str]) -> tuple[Source, ...]:
        known, sources = self._sources, list[Source]()
        for text in texts:
            source = known.get(text)
            if source is None:
                source = known[text] = _parse_input(text)
            if sources and sources[-1][1] == CONTROL and source[1] != CONTROL:
                raise ValueError(
                    f"Node '{node_name}': Control dependencies must come after regular dependencies"
                )
            sources.append(source)
        return tuple(sources)

    def _unique(self, name: str, taken: set[str]) -> str:
        existing = self.graph._ops
        if name not in existing:
            return name
        number = 1
        while f"{name}_{number}" in existing or f"{name}_{number}" in taken:
            number += 1
        taken.add(f"{name}_{number}")
        return f"{name}_{number}"

    def make_operations(self) -> None:
        """Make all operations, each after its inputs, otherwise in the order of the nodes."""
        if self._is_in_order():
            for position in range(len(self.nodes)):
                self._make(position)
        else:
            self._make_in_order()
        for position, node in enumerate(self.nodes):
            if node.op in _MERGES:
                self._close_loops(position)

    def _is_in_order(self) -> bool:
        """Whether each node stands behind all that it reads."""
        index, mapped = self.index, self.mapped
        for position, sources in enumerate(self.inputs):
            for source in sources:
                if index.get(source[0], -1) >= position and source not in mapped:
                    return False
        return True

    def _make_in_order(self) -> None:
        waiting, followers = self._edges()
        ready = [position for position, count in enumerate(waiting) if count == 0]
        while ready:
            position = heapq.heappop(ready)
            self._make(position)
            for follower in followers[position]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(ready, follower)
        stuck = len(self.nodes) - len(self.operations)
        if stuck:
            raise ValueError(f"{stuck} nodes in a cycle")

    def _edges(self) -> tuple[list[int], list[list[int]]]:
        """How many inputs each node waits for, and the nodes that wait for each."""
        waiting = []
        followers: list[list[int]] = [[] for _ in self.nodes]
        for position, sources in enumerate(self.inputs):
            inner = [source for source in sources if source not in self.mapped]
            for name, _ in inner:
                followers[self.index[name]].append(position)
            if self._closes_a_loop(position):
                # The edge from NextIteration comes later: one of the others is enough.
                waiting.append(1 + sum(index == CONTROL for _, index in inner))
            else:
                waiting.append(len(inner))
        return waiting, followers

    def _closes_a_loop(self, position: int) -> bool:
        return self.nodes[position].op in _MERGES and any(
            name in self.index and self.nodes[self.index[name]].op in _LOOP_BACK
            for name, _ in self.inputs[position]
        )

    def _make(self, position: int) -> None:
        node, op_def, sources = self.nodes[position], self.op_defs[position], self.inputs[position]
        node_name = node.name
        name = self.names[node_name]
        attrs = self._attrs(node, op_def, name)
        shapes = attrs.pop("_output_shapes", None)
        op = Operation(self.graph, op_def, name, (), attrs, self.frames)
        types = arg_types(op_def.inputs, attrs)
        has_controls = bool(sources) and sources[-1][1] == CONTROL
        data = [s for s in sources if s[1] != CONTROL] if has_controls else sources
        node_builder.check_input_count(op_def, types, len(data), name)
        tensors = []
        for index, (source, dtype) in enumerate(zip(data, types, strict=True)):
            tensor = self._tensor(node_name, source)
            if tensor is None:
                tensor = Tensor(op, index, dtype)  # closed later, see _close_loops
            node_builder.check_input_type(name, index, tensor, dtype)
            tensors.append(tensor)
        op.inputs = tuple(tensors)
        if has_controls:
            op.control_inputs = self._controls(position)
        op._device = node.device
        op.outputs = [Tensor(op, i, t) for i, t in enumerate(arg_types(op_def.outputs, attrs))]
        if op_def.shape is not None:
            infer_shapes(op)
        if shapes is not None:
            _merge_shapes(op, shapes, self.is_of_old)
        self.operations[node_name] = op

    def _attrs(self, node: Any, op_def: OpDef, name: str) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for key, message in node.attr.items():
            attr = op_def.attrs.get(key)
            if attr is not None:
                attrs[key] = node_builder.attr_of_message(op_def, attr, message, name)
                continue
            if key in _PRIVATE and message.WhichOneof("value") is None:
                continue  # to ask a message for what it lacks leaves that behind
            attrs[key] = node_builder.private_attr(_PRIVATE.get(key), message, name)
            if not key.startswith("_"):
                logger.warning(
                    "NodeDef mentions attribute %s which is not in the op definition of %s; it is "
                    "ignored.", key, node.op
                )  # fmt: skip
        if external_value.FILE in attrs:
            external_value.take(attrs, node.name, self.values)
        node_builder.check_complete(op_def, attrs, name)
        if "_class" in attrs:
            attrs["_class"] = [self._group(node.name, group) for group in attrs["_class"]]
        return attrs

    def _group(self, node_name: str, group: bytes) -> bytes:
        """A colocation group under the name that its operation has here."""
        if not group.startswith(b"loc:@"):
            return group
        target = _decoded(group[5:])
        if target not in self.names:
            raise ValueError(
                f"Node '{node_name}' expects to be colocated with unknown node '{target}'"
            )
        return b"loc:@" + self.names[target].encode()

    def _tensor(self, node_name: str, source: Source) -> Tensor | None:
        """The tensor of a data input; None if its operation is not made yet."""
        mapped = self.mapped.get(source)
        if mapped is not None:
            self.used.add(source)
            return mapped
        name, index = source
        op = self.operations.get(name)
        if op is None:
            return None
        if index >= len(op.outputs):
            raise ValueError(
                f"Node '{node_name}': Connecting to invalid output {index} of source node {name} "
                f"which has {len(op.outputs)} outputs."
            )
        return op.outputs[index]

    def _controls(self, position: int) -> tuple[Operation, ...]:
        controls: dict[Operation, None] = {}
        for source in self.inputs[position]:
            if source[1] == CONTROL:
                mapped = self.mapped.get(source)
                self.used.add(source)
                controls[self.operations[source[0]] if mapped is None else mapped.op] = None
        return tuple(controls)

    def _close_loops(self, position: int) -> None:
        node = self.nodes[position]
        op = self.operations[node.name]
        for index, (tensor, source) in enumerate(
            zip(op.inputs, self.inputs[position], strict=False)
        ):
            if tensor.op is op:
                found = self._tensor(node.name, source)
                assert found is not None
                node_builder.check_input_type(op.name, index, found, tensor.dtype)
                op._update_input(index, found)

    def element(self, text: str) -> Tensor | Operation:
        """What an entry of `return_elements` stands for."""
        if ":" not in text:
            if text not in self.operations:
                raise ValueError(f"Requested return node '{text}' not found in graph def")
            return self.operations[text]
        name, index = source = parse_tensor_name(text)
        mapped = self.mapped.get(source)
        if mapped is not None:
            self.used.add(source)
            return mapped
        op = self.operations.get(name)
        if op is None:
            raise ValueError(f"Requested return tensor '{text}' not found in graph def")
        if not 0 <= index < len(op.outputs):
            raise ValueError(
                f"Invalid return output {index} of node '{name}', which has {len(op.outputs)} "
                "output(s)"
            )
        return op.outputs[index]

    def check_map(self) -> None:
        """Raise ValueError if the input map names what the GraphDef does not have."""
        missing = [
            f"^{name}" if index == CONTROL else f"{name}:{index}"
            for name, index in self.mapped
            if (name, index) not in self.used
            and (name not in self.operations or index >= len(self.operations[name].outputs))
        ]
        if missing:
            raise ValueError(
                "Attempted to map inputs that were not found in graph_def: "
                f"[{', '.join(sorted(missing))}]"
            )

    def enter_graph(self) -> None:
        """Apply the current scopes and add everything to the graph."""
        graph = self.graph
        scopes = graph._scopes
        made = list(self.operations.values())
        # All of them wait, whatever they read.
        waited_for = implied_controls(scopes, set())
        for op in made:
            if op._device:
                op._device = canonical(op._device)
            if scopes.devices and "_class" not in op.attrs:
                op._device = merge_device_stack(scopes.devices, op, op._device)
            # A Merge lets a value through though what it waits for is dead; here it would not.
            if waited_for and op.type not in _MERGES:
                op.control_inputs = tuple(dict.fromkeys((*op.control_inputs, *waited_for)))
            enter_scopes(op, scopes)
        colocated = [op for op in made if "_class" in op.attrs]
        by_name = {op.name: op for op in made} if colocated else {}
        for op in colocated:
            # What a node is colocated with says where it goes, not its own device.
            groups = [_decoded(group[5:]) for group in op.attrs["_class"]]
            targets = [by_name.get(name) or graph._ops.get(name) for name in groups]
            if any(targets):
                found = [target._device for target in targets if target]
                op._device = canonical(next(filter(None, found), ""))
        for op in made:
            graph._add(op)
            graph._names_in_use.setdefault(op.name.lower(), 1)
        graph._functions.update(_copies(self.functions))
        for gradient in self.message.library.gradient:
            graph._function_gradients.update(_copies({gradient.function_name: gradient}))
        graph._versions.merge(self.message.versions)


def _decoded(name: bytes) -> str:
    """The name in a colocation group; what is no text is the name of no node."""
    return name.decode(errors="backslashreplace")


def _parse_input(text: str) -> Source:
    if text.startswith("^"):
        return text[1:], CONTROL
    match = _DATA_INPUT.fullmatch(text) if ":" in text else None
    return (match[1], int(match[2])) if match else (text, 0)


def _merge_shapes(op: Operation, shapes: list[shape_lib.Shape], is_of_old: bool) -> None:
    """Refine the shapes of the outputs by those in the attribute `_output_shapes`.

    An older TensorFlow has told some that are not so, or no longer: those it wrote are passed over.
    """
    if len(shapes) < len(op.outputs):
        raise ValueError(
            f"Node '{op.name}' has {len(op.outputs)} outputs but the _output_shapes attribute "
            f"specifies shapes for {len(shapes)} outputs"
        )
    for index, (tensor, shape) in enumerate(zip(op.outputs, shapes, strict=False)):
        try:
            tensor._shape = shape_lib.merge(tensor._shape, shape)
        except ValueError as error:
            if is_of_old:
                continue
            raise ValueError(
                f"Node '{op.name}' has an _output_shapes attribute inconsistent with the "
                f"GraphDef for output #{index}: {error}"
            ) from None


def _copies(messages: dict[str, Any]) -> dict[str, Any]:
    copies = {}
    for name, message in messages.items():
        copies[name] = type(message)()
        copies[name].CopyFrom(message)
    return copies
