"""Graph: the operations of a program, their names, and the scopes that shape new ones."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tfsession.core import forking
from tfsession.core.dtypes import as_dtype
from tfsession.core.op_def import ops as op_defs
from tfsession.core.op_def_proto import to_op_def_proto
from tfsession.graph import node_builder
from tfsession.graph import scopes as scope_lib
from tfsession.graph.graph_def import PRODUCER as PRODUCER
from tfsession.graph.graph_def import Versions, to_graph_def
from tfsession.graph.node_def import EncodedNodes
from tfsession.graph.operation import Operation
from tfsession.graph.stacks import DefaultStack
from tfsession.graph.tensor import Tensor

logger = logging.getLogger("tfsession")

_VALID_NAME = re.compile(r"^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$")


class Graph:
    """A set of operations and tensors, as `tf.Graph`.

    One thread at a time may add operations; a lock sees to it. Scopes belong to a thread.
    """

    building_function = False

    def __init__(self) -> None:
        self._lock = forking.rlock()
        self._ops: dict[str, Operation] = {}
        self._names_in_use: dict[str, int] = {}
        self._scopes = scope_lib.Scopes()
        self._collections: dict[Any, list[Any]] = {}
        self._unfeedable: set[Tensor] = set()
        self._unfetchable: set[Operation] = set()
        self._finalized = False
        self._version = 0
        self._consumer_index: dict[Tensor, list[Operation]] = {}
        self._indexed_ops = 0
        self._watchers: weakref.WeakSet[Any] = weakref.WeakSet()  # engines of sessions
        self._versions = Versions()
        self._functions: dict[str, Any] = {}  # FunctionDefs by name
        self._function_gradients: dict[str, Any] = {}  # GradientDefs by function name
        self._python_gradients: dict[str, Any] = {}  # rules in Python by the name of a call
        # Operations and functions that came from elsewhere, with what they may not do.
        self._loaded_ops: dict[Operation, Any] = {}
        self._loaded_functions: dict[str, Any] = {}
        self._handle_elements: dict[str, Any] = {}  # what reads and deletes a session's tensors
        self.seed: int | None = None
        self._random_ops = 0
        self._has_loops = False  # that contexts know of
        self._encoded: EncodedNodes | None = None  # of the last export; None when a node changes

    # --- operations and names -------------------------------------------------------------------

    @property
    def version(self) -> int:
        """How many operations were ever added."""
        return self._version

    @property
    def finalized(self) -> bool:
        """Whether the graph takes no more operations."""
        return self._finalized

    def finalize(self) -> None:
        """Take no more operations from now on."""
        self._finalized = True

    def _unsafe_unfinalize(self) -> None:
        self._finalized = False

    def _check_not_finalized(self) -> None:
        if self._finalized:
            raise RuntimeError("Graph is finalized and cannot be modified.")

    def unique_name(self, name: str, mark_as_used: bool = True) -> str:
        """`name` under the current name scope, made unique in this graph, letter case aside."""
        prefix = self._scopes.name_prefix
        full = prefix + name if prefix else name
        key = full.lower()
        if key == full:
            key = full  # one text in memory, not two
        with self._lock:
            names = self._names_in_use
            count = names.get(key)
            if count is None:
                if mark_as_used:
                    names[key] = 1
                return full
            unique = full
            while key in names:
                unique = f"{full}_{count}"
                key = unique.lower()
                count += 1
            if mark_as_used:
                names[full.lower()] = count
                names[key] = 1
            return unique

    def _check_name(self, name: str) -> None:
        if not _VALID_NAME.match(name):
            raise ValueError(
                f"`{name}` is not a valid node name. Accepted names conform to Regex "
                f"/{_VALID_NAME!r}/"
            )

    def node_name(self, name: str) -> str:
        """A name for a new node, unique unless a slash at its end says to take it as it is.

        Raises:
            ValueError: nodes cannot be called so.
        """
        if name.isascii() and name.isidentifier() and name[0] != "_":
            return self.unique_name(name)
        if not name.endswith("/"):
            name = self.unique_name(name)
            self._check_name(name)
            return name
        name = name[:-1]
        self._check_name(name)
        with self._lock:
            self._names_in_use.setdefault(name.lower(), 1)
        return name

    def create_op(
        self,
        op_type: str,
        inputs: Sequence[Tensor],
        dtypes: Sequence[Any] | None = None,
        input_types: Sequence[Any] | None = None,
        name: str | None = None,
        attrs: dict[str, Any] | None = None,
        op_def: Any = None,
        compute_shapes: bool = True,
        compute_device: bool = True,
    ) -> Operation:
        """Add an operation.

        Args:
            op_type: its type, such as "MatMul".
            inputs: tensors of this graph, lists laid out flat.
            dtypes: not needed; types of outputs follow from the definition.
            input_types: the types that the inputs must be compatible with.
            name: its name, made unique; with a trailing slash, exactly this name.
            attrs: AttrValue messages or Python values by name. Defaults, types of inputs and the
                length of a list at the end need not be given.
            op_def: not needed; ops are known by type.
            compute_shapes: not needed; shapes are always computed.
            compute_device: whether device scopes apply.

        Raises:
            TypeError: an input is no tensor, or of a wrong type.
            ValueError: inputs or attributes do not suit the op, or belong to another graph.
            RuntimeError: no such op, or the graph is finalized.
        """
        self._check_not_finalized()
        types = None if input_types is None else [as_dtype(dtype) for dtype in input_types]
        op = node_builder.create_op(self, op_type, inputs, types, name or op_type, attrs or {})
        if not compute_device:
            op._device = ""
            self._encoded = None
        return op

    def _add(self, op: Operation) -> None:
        """Enter an operation that `create` has built; its name must be unique already."""
        name = op.name
        with self._lock:
            if self._finalized:
                self._check_not_finalized()
            if name in self._ops:
                raise ValueError(f"Duplicate node name in graph: '{name}'")
            op._id = self._version
            self._ops[name] = op
            self._version += 1

    def as_graph_def(self, from_version: int | None = None, add_shapes: bool = False) -> Any:
        """The GraphDef message of this graph.

        Args:
            from_version: has no effect, as in TensorFlow 2.21.
            add_shapes: write the static shapes of outputs into the attribute `_output_shapes`.
        """
        return to_graph_def(self, add_shapes)

    @property
    def graph_def_versions(self) -> Any:
        """The VersionDef of this graph."""
        return self._versions.to_proto()

    def get_operations(self) -> list[Operation]:
        """All operations in order of creation."""
        return list(self._ops.values())

    @property
    def operations(self) -> list[Operation]:
        """As `get_operations` gives."""
        return self.get_operations()

    def num_operations(self) -> int:
        """How many operations there are."""
        return len(self._ops)

    def op_def_for_type(self, type: str) -> Any:
        """The OpDef message of an op type; ValueError if there is none."""
        op_def = op_defs.get(type)
        if op_def is None:
            raise ValueError(f"Op type not registered '{type}'")
        return to_op_def_proto(op_def)

    def switch_to_thread_local(self) -> None:
        """Nothing: the scopes of each thread are its own already."""

    def get_operation_by_name(self, name: str) -> Operation:
        """The operation called `name`; KeyError when there is none, TypeError for a non-string."""
        if not isinstance(name, str):
            raise TypeError(f"Operation names are strings (or similar), not {type(name).__name__}.")
        element = self.as_graph_element(name, allow_tensor=False, allow_operation=True)
        assert isinstance(element, Operation)
        return element

    def get_tensor_by_name(self, name: str) -> Tensor:
        """The tensor called `<op>:<index>`; KeyError or ValueError when there is none."""
        if not isinstance(name, str):
            raise TypeError(f"Tensor names are strings (or similar), not {type(name).__name__}.")
        element = self.as_graph_element(name, allow_tensor=True, allow_operation=False)
        assert isinstance(element, Tensor)
        return element

    def as_graph_element(
        self, obj: Any, allow_tensor: bool = True, allow_operation: bool = True
    ) -> Tensor | Operation:
        """The Tensor or Operation that an object, or a name, stands for.

        Raises:
            TypeError: the object stands for neither, or not for the allowed kind.
            ValueError: it belongs to another graph, or the name is malformed.
            KeyError: no such name.
        """
        if not allow_tensor and not allow_operation:
            raise ValueError("allow_tensor and allow_operation can't both be False.")
        kinds = " or ".join(
            kind
            for kind, allowed in (("Tensor", allow_tensor), ("Operation", allow_operation))
            if allowed
        )
        convert = getattr(obj, "_as_graph_element", None)
        if convert is not None and (converted := convert()) is not None:
            obj = converted
        if isinstance(obj, bytes):
            obj = obj.decode()
        if isinstance(obj, str):
            return self._element_by_name(str(obj), allow_tensor, allow_operation)
        if isinstance(obj, Tensor) and allow_tensor:
            if obj.op.graph is not self:
                raise ValueError(f"Tensor {obj} is not an element of this graph.")
            return obj
        if isinstance(obj, Operation) and allow_operation:
            if obj.graph is not self:
                raise ValueError(f"Operation {obj} is not an element of this graph.")
            return obj
        raise TypeError(f"Can not convert a {type(obj).__name__} into a {kinds}.")

    def _element_by_name(
        self, name: str, allow_tensor: bool, allow_operation: bool
    ) -> Tensor | Operation:
        if ":" in name and allow_tensor:
            try:
                op_name, text = name.split(":")
                index = int(text)
            except ValueError:
                raise ValueError(
                    f"The name {name!r} looks a like a Tensor name, but is not a valid one. Tensor "
                    'names must be of the form "<op_name>:<output_index>".'
                ) from None
            op = self._ops.get(op_name)
            if op is None:
                raise KeyError(
                    f"The name {name!r} refers to a Tensor which does not exist. The operation, "
                    f"{op_name!r}, does not exist in the graph."
                )
            try:
                return op.outputs[index]
            except IndexError:
                raise KeyError(
                    f"The name {name!r} refers to a Tensor which does not exist. The operation, "
                    f"{op_name!r}, exists but only has {len(op.outputs)} outputs."
                ) from None
        if ":" in name:
            raise ValueError(f"Name {name!r} appears to refer to a Tensor, not a Operation.")
        op = self._ops.get(name)
        if not allow_operation:
            found = "refers to an Operation" if op else "looks like an (invalid) Operation name"
            raise ValueError(
                f"The name {name!r} {found}, not a Tensor. Tensor names must be of the form "
                '"<op_name>:<output_index>".'
            )
        if op is None:
            raise KeyError(f"The name {name!r} refers to an Operation not in the graph.")
        return op

    def _consumers(self, tensor: Tensor) -> list[Operation]:
        with self._lock:
            if self._indexed_ops < len(self._ops):
                for op in list(self._ops.values())[self._indexed_ops :]:
                    for source in dict.fromkeys(op.inputs):
                        self._consumer_index.setdefault(source, []).append(op)
                self._indexed_ops = len(self._ops)
            return list(self._consumer_index.get(tensor, ()))

    def _forget_consumers(self) -> None:
        self._consumer_index.clear()
        self._indexed_ops = 0

    def _note_mutation(self, op: Operation, change: str) -> None:
        """Warn when a session has seen the operation: what it runs does not change any more."""
        # Not `any`: each session that has seen it keeps it as it is now.
        if True in [watcher.keep_as_seen(op) for watcher in list(self._watchers)]:
            logger.warning(
                "Operation '%s' was changed by setting %s after it was run by a session. This "
                "mutation will have no effect, and will trigger an error in the future. Either "
                "don't modify nodes after running them or create a new session.",
                op.name,
                change,
            )

    # --- scopes ---------------------------------------------------------------------------------

    def as_default(self) -> AbstractContextManager[Graph]:
        """Make this the default graph of the current thread inside a `with` block."""
        return default_graphs.pushed(self)

    def name_scope(self, name: str | None) -> AbstractContextManager[str]:
        """Prefix the names of operations made inside; a trailing slash: exactly this prefix."""
        return scope_lib.name_prefix_scope(self, self._scopes, name)

    def get_name_scope(self) -> str:
        """The current name scope without its trailing slash."""
        return self._scopes.name_prefix.rstrip("/")

    def device(self, device_name_or_function: Any) -> AbstractContextManager[None]:
        """Request a device for operations made inside: a name, a DeviceSpec, a function or None."""
        return scope_lib.device_scope(self._scopes, device_name_or_function)

    def colocate_with(self, op: Any, ignore_existing: bool = False) -> AbstractContextManager[None]:
        """Place operations made inside where `op`, an operation or what one puts out, is placed.

        Device scopes have no effect inside. None leaves the groups around, if `ignore_existing`.

        Raises:
            TypeError: `op` is neither an operation, nor a tensor, a variable or slices.
            ValueError: `op` is None, and `ignore_existing` is not set.
        """
        if op is not None:
            op = self._operation_of(op)
        return scope_lib.colocation_scope(self, self._scopes, op, ignore_existing)

    def _operation_of(self, value: Any) -> Operation:
        # Of a resource variable this is its handle; as a graph element it would be the value.
        found = getattr(value, "op", value)
        if not isinstance(found, Operation):
            raise TypeError(f"There is no operation behind {value!r} ({type(value).__name__}).")
        return found

    def _get_control_flow_context(self) -> Any:
        """The branch or loop under construction, or None."""
        return self._scopes.control_flow_context

    def control_dependencies(self, control_inputs: Any) -> AbstractContextManager[Any]:
        """Run operations made inside after the given operations and tensors; None clears."""
        if control_inputs is None:
            return scope_lib.control_scope(self._scopes, None)
        held = {op for block in self._scopes.controls for op in block.inputs}
        ops = []
        for item in control_inputs:
            item = getattr(item, "flat_values", item)  # those of a ragged tensor
            if not isinstance(item, Tensor) and isinstance(getattr(item, "op", None), Operation):
                item = item.op  # slices, or a variable or its update, without reading it
            element = self.as_graph_element(item)
            op = element.op if isinstance(element, Tensor) else element
            if op not in held:
                held.add(op)
                ops.append(op)
        for op in ops:
            op.attrs["_has_manual_control_dependencies"] = True
        self._encoded = None
        return scope_lib.control_scope(self._scopes, tuple(ops))

    @contextmanager
    def container(self, container_name: str) -> Iterator[str]:
        """Keep the state of stateful operations made inside in the named container."""
        previous, self._scopes.container = self._scopes.container, container_name
        try:
            yield container_name
        finally:
            self._scopes.container = previous

    @contextmanager
    def _attr_scope(self, attrs: dict[str, Any]) -> Iterator[None]:
        previous = self._scopes.attrs
        merged = {**previous, **attrs}
        self._scopes.attrs = {name: value for name, value in merged.items() if value is not None}
        try:
            yield
        finally:
            self._scopes.attrs = previous

    @contextmanager
    def gradient_override_map(self, op_type_map: dict[str, str]) -> Iterator[None]:
        """Use other registered gradients for operations made inside, by op type."""
        if not isinstance(op_type_map, dict):
            raise TypeError("op_type_map must be a dictionary mapping strings to strings")
        previous = self._scopes.gradient_overrides
        self._scopes.gradient_overrides = {**previous, **op_type_map}
        try:
            yield
        finally:
            self._scopes.gradient_overrides = previous

    # --- feeding and fetching -------------------------------------------------------------------

    def prevent_feeding(self, tensor: Tensor) -> None:
        """Refuse to feed `tensor` from now on."""
        self._unfeedable.add(tensor)
        self._forget_steps()

    def is_feedable(self, tensor: Tensor) -> bool:
        """Whether `tensor` may be fed."""
        return tensor not in self._unfeedable

    def prevent_fetching(self, op: Operation) -> None:
        """Refuse to fetch `op` and its outputs from now on."""
        self._unfetchable.add(op)
        self._forget_steps()

    def _forget_steps(self) -> None:
        for watcher in list(self._watchers):
            watcher.forget_steps()

    def is_fetchable(self, tensor_or_op: Tensor | Operation) -> bool:
        """Whether the tensor or operation may be fetched."""
        op = tensor_or_op.op if isinstance(tensor_or_op, Tensor) else tensor_or_op
        return op not in self._unfetchable

    # --- collections ----------------------------------------------------------------------------

    @property
    def collections(self) -> list[Any]:
        """The names of all collections."""
        return list(self._collections)

    def get_all_collection_keys(self) -> list[str]:
        """The names of all collections that are strings."""
        return [key for key in self._collections if isinstance(key, str)]

    def add_to_collection(self, name: Any, value: Any) -> None:
        """Append `value` to a collection."""
        self._check_not_finalized()
        self._collections.setdefault(name, []).append(value)

    def add_to_collections(self, names: Any, value: Any) -> None:
        """Append `value` to each of the named collections, once each."""
        names = (names,) if isinstance(names, str) else dict.fromkeys(names)
        for name in names:
            self.add_to_collection(name, value)

    def get_collection_ref(self, name: Any) -> list[Any]:
        """The collection itself, made when absent."""
        return self._collections.setdefault(name, [])

    def get_collection(self, name: Any, scope: str | None = None) -> list[Any]:
        """A copy of a collection; with `scope`, the items whose names begin with that regex."""
        items = self._collections.get(name, [])
        if scope is None:
            return list(items)
        pattern = re.compile(scope)
        return [item for item in items if hasattr(item, "name") and pattern.match(item.name)]

    def clear_collection(self, name: Any) -> None:
        """Remove a collection."""
        self._check_not_finalized()
        self._collections.pop(name, None)


default_graphs = DefaultStack()


def get_default_graph() -> Graph:
    """The innermost default graph of this thread; an own one when no block is open."""
    stack = default_graphs.stack
    if stack:
        innermost: Graph = stack[-1]
        return innermost
    bottom: Graph | None = default_graphs.__dict__.get("bottom")
    if bottom is None:
        bottom = default_graphs.__dict__["bottom"] = Graph()
    return bottom


def reset_default_graph() -> None:
    """Replace this thread's own default graph by an empty one; not inside a `with` block."""
    if default_graphs.stack:
        raise AssertionError(
            "Do not use tf.reset_default_graph() to clear nested graphs. If you need a cleared "
            "graph, exit the nesting and create a new graph."
        )
    default_graphs.__dict__["bottom"] = Graph()
