"""`tf.data.Iterator`: what brings the elements of a dataset into steps."""

from __future__ import annotations

import warnings
from typing import Any

from tfsession.core import protos
from tfsession.core.dtypes import string
from tfsession.core.exports import export
from tfsession.core.shape import is_compatible
from tfsession.graph.create import convert_to_tensor, create_op, create_operation
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.dataset_structure import ElementSpec, OfElements
from tfsession.ops.defun import DefinedFunction

_ITERATORS = "iterators"
# Who calls get_next so often calls it in a loop.
_MANY_CALLS = 32


@export("data.Iterator")
class Iterator(OfElements):
    """An iterator of a session; each step that reads what `get_next` gives takes one element.

    Args:
        iterator_resource: its handle.
        initializer: the operation that begins anew; None if there is none.
        output_types, output_shapes, output_classes: structures of what elements are made of.
    """

    def __init__(
        self,
        iterator_resource: Tensor,
        initializer: Operation | None,
        output_types: Any,
        output_shapes: Any,
        output_classes: Any,
    ) -> None:
        self._iterator_resource = iterator_resource
        self._variant_tensor = None
        self._initializer = initializer
        self._spec = ElementSpec.declared(output_types, output_shapes, output_classes)
        self._string_handle = create_op("IteratorToStringHandle", [iterator_resource])
        self._calls = 0
        get_default_graph().add_to_collection(_ITERATORS, iterator_resource)

    @staticmethod
    def from_structure(
        output_types: Any,
        output_shapes: Any = None,
        shared_name: str | None = None,
        output_classes: Any = None,
    ) -> Iterator:
        """An iterator for any datasets of such elements; `make_initializer` says of which."""
        spec = ElementSpec.declared(output_types, output_shapes, output_classes)
        return Iterator(
            _resource(spec, shared_name), None, spec.types, spec.tensor_shapes, spec.classes
        )

    @staticmethod
    def from_string_handle(
        string_handle: Any, output_types: Any, output_shapes: Any = None, output_classes: Any = None
    ) -> Iterator:
        """The iterator that a fed text stands for, see `string_handle`."""
        spec = ElementSpec.declared(output_types, output_shapes, output_classes)
        handle = convert_to_tensor(string_handle, string)
        resource = create_op("IteratorFromStringHandleV2", [handle], spec.attrs)
        return Iterator(resource, None, spec.types, spec.tensor_shapes, spec.classes)

    @property
    def initializer(self) -> Operation:
        """The operation that begins anew; ValueError if there is none."""
        if self._initializer is None:
            raise ValueError(
                "The iterator does not have an initializer. This means it was likely created using "
                "`tf.data.Dataset.make_one_shot_iterator()`. For an initializable iterator, use "
                "`tf.data.Dataset.make_initializable_iterator()` instead."
            )
        return self._initializer

    def make_initializer(self, dataset: Any, name: str | None = None) -> Operation:
        """An operation that goes to the start of a dataset.

        Raises:
            TypeError: its elements have other types, or shapes that do not fit.
        """
        spec, own = dataset._spec, self._spec
        if not spec.is_like(own):
            raise TypeError(
                f"Expected output types {own.types!r} but got dataset with output types "
                f"{spec.types!r}."
            )
        if not all(map(is_compatible, spec.told_shapes, own.told_shapes)):
            raise TypeError(
                f"Expected output shapes compatible with {own.tensor_shapes!r} but got dataset "
                f"with output shapes {spec.tensor_shapes!r}."
            )
        inputs = [dataset._variant_tensor, self._iterator_resource]
        return create_operation("MakeIterator", inputs, name=name or "make_initializer")

    def get_next(self, name: str | None = None) -> Any:
        """The next element, a structure of tensors: each step that reads one takes one.

        Tensors of one call belong to one element. A step fails with OutOfRangeError when there are
        no more, and with FailedPreconditionError before the initializer has run.
        """
        self._calls += 1
        if self._calls > _MANY_CALLS:
            warnings.warn(
                "An unusually high number of `Iterator.get_next()` calls was detected. This often "
                "indicates that `Iterator.get_next()` is being called inside a training loop, "
                "which adds operations to the graph: call it once, and run what it gives.",
                stacklevel=2,
            )
        spec = self._spec
        op = create_operation("IteratorGetNext", [self._iterator_resource], spec.attrs, name)
        return spec.element(op.outputs)

    def string_handle(self, name: str | None = None) -> Tensor:
        """A text that stands for the iterator, when it is run in a session."""
        if name is None:
            return self._string_handle
        return create_op("IteratorToStringHandle", [self._iterator_resource], name=name)  # type: ignore[no-any-return]


def _resource(spec: ElementSpec, shared_name: str | None) -> Tensor:
    attrs = {"container": "", "shared_name": shared_name or "", **spec.attrs}
    return create_op("IteratorV2", [], attrs)  # type: ignore[no-any-return]


def initializable_iterator(dataset: Tensor, spec: ElementSpec, shared_name: str | None) -> Iterator:
    """An iterator of a dataset that begins when its initializer is run."""
    graph = get_default_graph()
    with graph.colocate_with(dataset.op):
        resource = _resource(spec, shared_name)
    with graph.colocate_with(resource.op):
        initializer = create_operation("MakeIterator", [dataset, resource])
    return Iterator(resource, initializer, spec.types, spec.tensor_shapes, spec.classes)


def one_shot_iterator(dataset: Tensor, spec: ElementSpec) -> Iterator:
    """An iterator of a dataset that goes through once.

    Raises:
        ValueError: the dataset depends on a placeholder, a variable or other state.
    """

    def _make_dataset() -> Tensor:
        return dataset

    factory = DefinedFunction(_make_dataset, [], [], capture_by_value=True)
    try:
        factory.add_to_graph()
    except ValueError as error:
        if "Cannot capture" not in str(error):
            raise
        raise ValueError(
            f"{error}\n\nFailed to create a one-shot iterator for a dataset. "
            "`Dataset.make_initializable_iterator()` is more suitable for datasets that capture "
            "such nodes."
        ) from None
    attrs = {"dataset_factory": protos.NameAttrList(name=factory.name), **spec.attrs}
    resource = create_op("OneShotIterator", [], attrs)
    return Iterator(resource, None, spec.types, spec.tensor_shapes, spec.classes)
