"""The structure of a dataset's elements: tuples and mappings around components.

Unlike in `tf.nest`, a list is no structure here: it is one component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import DType, as_dtype, variant
from tfsession.core.shape import Shape, TensorShape, to_shape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.tensor import Tensor


def is_structure(value: Any) -> bool:
    """Whether `value` is a tuple or a mapping."""
    return isinstance(value, tuple | Mapping) and not isinstance(value, TensorShape)


def components_of(structure: Any) -> list[Any]:
    """The components in order, those of mappings by their sorted keys."""
    if not is_structure(structure):
        return [structure]
    return [leaf for part in nest.parts_of(structure) for leaf in components_of(part)]


def packed(structure: Any, leaves: Sequence[Any]) -> Any:
    """The same structure around other components."""
    return _packed(structure, iter(leaves))


def _packed(structure: Any, leaves: Iterator[Any]) -> Any:
    if not is_structure(structure):
        return next(leaves)
    if isinstance(structure, Mapping):
        values = {key: _packed(structure[key], leaves) for key in sorted(structure)}
        return type(structure)((key, values[key]) for key in structure)  # type: ignore[call-arg]
    parts = [_packed(part, leaves) for part in structure]
    return type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)


def known_of_both(a: Shape, b: Shape) -> Shape:
    """What is true of both shapes."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True))


class ElementSpec:
    """What is known of the elements of a dataset: structure, dtypes, and shapes as far as known."""

    def __init__(self, structure: Any, dtypes: Sequence[DType], shapes: Sequence[Shape]) -> None:
        self.structure = structure
        self.dtypes = list(dtypes)
        self.shapes = list(shapes)

    @classmethod
    def of(cls, tensors: Any) -> ElementSpec:
        """That of a structure of tensors and datasets."""
        flat = tensors_of(tensors)
        return cls(tensors, [t.dtype.base_dtype for t in flat], [t._shape for t in flat])

    @classmethod
    def declared(cls, types: Any, shapes: Any = None) -> ElementSpec:
        """That which structures of dtypes and shapes tell; shapes are unknown where not given."""
        leaves = components_of(types)
        nested = [isinstance(leaf, OfElements) for leaf in leaves]
        dtypes = [variant if n else as_dtype(t) for t, n in zip(leaves, nested, strict=True)]
        given = [None] * len(dtypes) if shapes is None else _up_to(types, shapes)
        known = [() if n else to_shape(shape) for shape, n in zip(given, nested, strict=True)]
        return cls(types, dtypes, known)

    def packed(self, leaves: Sequence[Any]) -> Any:
        """The structure around these components; a dataset stands for itself, as its own kind."""
        known = components_of(self.structure)
        kinds = [k if isinstance(k, OfElements) else v for k, v in zip(known, leaves, strict=True)]
        return packed(self.structure, kinds)

    def element(self, tensors: Sequence[Tensor]) -> Any:
        """An element of these components: datasets where they stand for such."""
        known = components_of(self.structure)
        pairs = zip(known, tensors, strict=True)
        found = [k._like(t) if isinstance(k, OfElements) else t for k, t in pairs]
        return packed(self.structure, found)

    def with_shapes(self, change: Callable[[Shape], Shape]) -> ElementSpec:
        """The same with other shapes."""
        return ElementSpec(self.structure, self.dtypes, [change(shape) for shape in self.shapes])

    @property
    def attrs(self) -> dict[str, Any]:
        """As operations of datasets have it."""
        return {"output_types": self.dtypes, "output_shapes": self.shapes}

    @property
    def types(self) -> Any:
        """A structure of dtypes."""
        return self.packed(self.dtypes)

    @property
    def tensor_shapes(self) -> Any:
        """A structure of TensorShapes."""
        return self.packed([TensorShape.from_tuple(shape) for shape in self.shapes])

    @property
    def classes(self) -> Any:
        """A structure of classes."""
        return self.packed([Tensor] * len(self.dtypes))


class OfElements:
    """What has elements of a known kind."""

    _spec: ElementSpec
    _variant_tensor: Any

    def _like(self, variant: Any) -> Any:
        """What has elements of the same kind, those of a variant."""
        raise NotImplementedError

    @property
    def output_types(self) -> Any:
        """The dtypes of an element's components, in their structure."""
        return self._spec.types

    @property
    def output_shapes(self) -> Any:
        """The shapes of an element's components, in their structure."""
        return self._spec.tensor_shapes

    @property
    def output_classes(self) -> Any:
        """The classes of an element's components, in their structure."""
        return self._spec.classes


def _up_to(types: Any, shapes: Any) -> list[Any]:
    """The shapes for each of `types`: lists and tuples of numbers are shapes, not structures."""
    if not is_structure(types):
        return [shapes]
    if isinstance(types, Mapping):
        return [s for key in sorted(types) for s in _up_to(types[key], shapes[key])]
    if len(types) != len(shapes):
        raise ValueError(
            f"The two structures don't have the same sequence length: {len(types)} types, "
            f"{len(shapes)} shapes."
        )
    return [s for t, part in zip(types, shapes, strict=True) for s in _up_to(t, part)]


def normalized(element: Any) -> Any:
    """The same structure of tensors; what is no tensor is converted."""
    flat = components_of(element)
    with name_scope("normalize_element"):
        tensors = [converted(value, f"component_{i}") for i, value in enumerate(flat)]
    return packed(element, tensors)


def converted(value: Any, name: str | None = None) -> Any:
    """A component as a tensor; a dataset stays one."""
    return value if isinstance(value, OfElements) else convert_to_tensor(value, name=name)


def tensors_of(structure: Any) -> list[Tensor]:
    """The components as operations take them: of datasets their variants."""
    flat = components_of(structure)
    return [leaf._variant_tensor if isinstance(leaf, OfElements) else leaf for leaf in flat]
