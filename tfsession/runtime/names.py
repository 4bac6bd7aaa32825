"""What the values of a step are called in the text of its functions, and how they leave it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, count

from tfsession.core.dtypes import resource
from tfsession.core.op_def import ArgDef
from tfsession.devices.transfer import Memory
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Layout, Node
from tfsession.runtime.plan import (
    finish_counted,
    finish_fresh,
    finish_fresh_on_device,
    finish_handle,
    finish_reference,
    finish_shared,
    finish_shared_on_device,
)
from tfsession.runtime.runs import Key, Keyed
from tfsession.runtime.segments import Function


class Names:
    """The name of each value in each memory where it is wanted, and where it was made."""

    def __init__(
        self, layout: Layout, feeds: Mapping[Tensor, Memory], fetches: Iterable[Tensor]
    ) -> None:
        self.names: defaultdict[int, dict[Tensor, str]] = defaultdict(dict)  # by id of the memory
        self.feeds = feeds
        self.location = layout.location
        fetched = {tensor.op for tensor in fetches}
        nodes = [node for node in layout.region.all_nodes() if node.op in fetched]
        self._makers = {node.op: node for node in nodes}
        self._count = count()
        for tensor, memory in feeds.items():
            self.of(tensor, memory)

    def of(self, tensor: Tensor, memory: Memory) -> str:
        """The name of a tensor in a memory."""
        names = self.names[id(memory)]
        name = names.get(tensor)
        if name is None:
            name = names[tensor] = f"v{next(self._count)}"
        return name

    def call(self, tensor: Tensor, memory: Memory, name: str) -> None:
        """Give a tensor of a memory the name of another."""
        self.names[id(memory)][tensor] = name

    def source_of(self, tensor: Tensor) -> str:
        """The name of a tensor where it was made or fed."""
        return self.of(tensor, self.location[tensor])

    def inputs(self, node: Node) -> Sequence[str]:
        """The name of each input of a node."""
        return tuple(map(self.of, node.inputs, node.input_memories))

    def outputs(self, node: Node) -> Sequence[str]:
        """The name of each output of a node; an underscore for one that is fed."""
        feeds = self.feeds
        outputs = zip(node.op.outputs, node.output_memories, strict=True)
        return tuple(["_" if tensor in feeds else self.of(tensor, m) for tensor, m in outputs])

    def of_nodes(self, nodes: Sequence[Node]) -> tuple[Keyed, Keyed]:
        """The names of what each node reads, and of what each makes; as `inputs` and `outputs`."""
        # Tuples of texts, unlike lists, are none of the garbage collector's business.
        inputs, outputs = list[Sequence[str]](), list[Sequence[str]]()
        names, memory, feeds, of = self.names[id(None)], None, self.feeds, self.of
        number = self._count
        for node in nodes:
            if node.memory is not memory:
                memory = node.memory
                names = self.names[id(memory)]
            read, memories = node.inputs, node.input_memories
            try:  # mostly all is known, in one memory
                known = [names[tensor] for tensor in read]
            except KeyError:
                known = list(map(of, read, memories))
            if memories.count(memory) != len(read):
                known = list(map(of, read, memories))
            inputs.append(tuple(known))
            made, memories = node.op.outputs, node.output_memories
            if len(made) == 1 and memories[0] is memory and made[0] not in feeds:
                name = names.get(made[0])
                if name is None:
                    name = names[made[0]] = f"v{next(number)}"
                outputs.append((name,))
                continue
            pairs = zip(made, memories, strict=True)
            outputs.append(tuple(["_" if t in feeds else of(t, m) for t, m in pairs]))
        return inputs, outputs

    def keys_of_nodes(self, nodes: Sequence[Node], memory: Memory) -> tuple[Keyed, Keyed]:
        """As `of_nodes`, for operations of a memory; tensors themselves where each has one name."""
        if memory is not None or not self._is_all_on_host:
            return self.of_nodes(nodes)
        inputs = [node.inputs for node in nodes]
        outputs: list[Sequence[Key]] = [node.op.outputs for node in nodes]
        feeds = self.feeds
        if feeds and not feeds.keys().isdisjoint(chain.from_iterable(outputs)):
            outputs = [["_" if t in feeds else t for t in row] for row in outputs]
        return inputs, outputs

    def keys_in(self, keys: Iterable[Key], needed: Container[str], memory: Memory) -> set[Key]:
        """The keys of the values that are needed, of these at least."""
        if memory is not None or not self._is_all_on_host:
            return {key for key in keys if key in needed}
        return {key for key, name in self.names[id(memory)].items() if name in needed}

    def of_key(self, key: Key, memory: Memory) -> str:
        """The name of what goes by a key."""
        return self.of(key, memory) if isinstance(key, Tensor) else str(key)

    @cached_property
    def _is_all_on_host(self) -> bool:
        return not any(self.location.values())

    def is_variable(self, tensor: Tensor, memory: Memory) -> bool:
        """Whether the value there is a variable's storage: only where it was made, not copied."""
        return tensor.dtype.is_ref and tensor not in self.feeds and self.location[tensor] is memory

    def must_read(self, tensor: Tensor, memory: Memory, arg: ArgDef) -> bool:
        """Whether an argument takes the value of a variable whose storage is there."""
        return not arg.is_ref and self.is_variable(tensor, memory)

    def finisher(self, tensor: Tensor, index: int, memory: Memory) -> Function:
        """What makes the value of fetch number `index`, there in `memory`, the user's own."""
        if self.is_variable(tensor, memory):
            name = f"_retval_{tensor.op.name}_{tensor.value_index}_{index}"
            return partial(finish_reference, name, memory)
        if tensor.dtype.base_dtype is resource:
            return finish_handle
        node = None if tensor in self.feeds else self._makers.get(tensor.op)
        if self.location[tensor] is memory:
            shared = node is None or node.kernel.aliases or node.kernel.constant
        else:
            shared = False  # a copy that the step made
        if memory is None:
            finish = finish_shared if shared else finish_fresh
            allocator = None if node is None else node.allocator
            ledger = None if allocator is None else allocator.ledger
            return finish if ledger is None else partial(finish_counted, finish, ledger)
        return partial(finish_shared_on_device if shared else finish_fresh_on_device, memory)
