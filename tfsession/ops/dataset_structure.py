"""The structure of a dataset's elements: tuples and mappings around components.

Unlike in `tf.nest`, a list is no structure here: it is one component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import DType, as_dtype, variant
from tfsession.core.shape import Shape, TensorShape, to_shape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.sparse_tensor import SparseTensor, SparseTensorValue
from tfsession.graph.tensor import Tensor
from tfsession.ops.sparse_store import deserialized, serialize_many_sparse, serialize_sparse


def is_structure(value: Any) -> bool:
    """Whether `value` is a tuple or a mapping."""
    is_leaf = isinstance(value, TensorShape | SparseTensorValue)
    return isinstance(value, tuple | Mapping) and not is_leaf


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


@dataclass(frozen=True, slots=True)
class SparseKind:
    """Stands in a structure for sparse tensors: one component, of three variants.

    The component has further dimensions where several were made one, as in a batch.
    """

    dtype: DType
    shape: Shape

    def restored(self, component: Tensor) -> SparseTensor:
        """The sparse tensor of a component."""
        rank = None if self.shape is None else len(self.shape)
        sparse = deserialized(component, self.dtype, rank)
        sparse.set_shape(TensorShape.from_tuple(self.shape))
        return sparse


class ElementSpec:
    """What is known of the elements of a dataset: structure, dtypes, and shapes as far as known.

    `dtypes` and `shapes` are those of the components, which stand for what is in the structure.
    """

    def __init__(self, structure: Any, dtypes: Sequence[DType], shapes: Sequence[Shape]) -> None:
        self.structure = structure
        self.dtypes = list(dtypes)
        self.shapes = list(shapes)

    @classmethod
    def of(cls, tensors: Any) -> ElementSpec:
        """That of a structure of tensors, sparse tensors and datasets."""
        leaves = [_kind_of(leaf) for leaf in components_of(tensors)]
        flat = [leaf._variant_tensor if isinstance(leaf, OfElements) else leaf for leaf in leaves]
        return cls(packed(tensors, leaves), *_parts(flat))

    @classmethod
    def declared(cls, types: Any, shapes: Any = None, classes: Any = None) -> ElementSpec:
        """That which structures of dtypes, shapes and classes tell; shapes may be unknown."""
        leaves = components_of(types)
        nested = [isinstance(leaf, OfElements) for leaf in leaves]
        dtypes = [variant if n else as_dtype(t) for t, n in zip(leaves, nested, strict=True)]
        given = [None] * len(dtypes) if shapes is None else _up_to(types, shapes)
        known = [() if n else to_shape(shape) for shape, n in zip(given, nested, strict=True)]
        kinds = [None] * len(dtypes) if classes is None else components_of(classes)
        sparse = [isinstance(k, type) and issubclass(k, SparseTensor) for k in kinds]
        if not any(sparse):
            return cls(types, dtypes, known)
        told = [
            SparseKind(dtype, shape) if is_sparse else leaf
            for leaf, dtype, shape, is_sparse in zip(leaves, dtypes, known, sparse, strict=True)
        ]
        return cls(packed(types, told), dtypes, known)._with(known)

    def packed(self, leaves: Sequence[Any]) -> Any:
        """The structure around these components; a dataset stands for itself, as its own kind."""
        known = self.leaves
        kinds = [k if isinstance(k, OfElements) else v for k, v in zip(known, leaves, strict=True)]
        return packed(self.structure, kinds)

    def element(self, tensors: Sequence[Tensor]) -> Any:
        """An element of these components: datasets and sparse tensors where they stand for such."""
        found: list[Any] = []
        for leaf, tensor in zip(self.leaves, tensors, strict=True):
            if isinstance(leaf, OfElements):
                found.append(leaf._like(tensor))
            else:
                found.append(leaf.restored(tensor) if isinstance(leaf, SparseKind) else tensor)
        return packed(self.structure, found)

    def with_shapes(self, change: Callable[[Shape], Shape]) -> ElementSpec:
        """The same with other shapes."""
        return self._with([change(shape) for shape in self.told_shapes])

    def _with(self, shapes: Sequence[Shape]) -> ElementSpec:
        leaves = [
            SparseKind(leaf.dtype, shape) if isinstance(leaf, SparseKind) else leaf
            for leaf, shape in zip(self.leaves, shapes, strict=True)
        ]
        sparse = [isinstance(leaf, SparseKind) for leaf in leaves]
        dtypes = [variant if s else dtype for s, dtype in zip(sparse, self.dtypes, strict=True)]
        known = [None if s else shape for s, shape in zip(sparse, shapes, strict=True)]
        return ElementSpec(packed(self.structure, leaves), dtypes, known)

    def known_of_both(self, other: ElementSpec) -> ElementSpec:
        """What is true of these elements and of others of the same types."""
        return self._with(list(map(known_of_both, self.told_shapes, other.told_shapes)))

    @property
    def leaves(self) -> list[Any]:
        """What is in the structure."""
        return components_of(self.structure)

    @property
    def told_dtypes(self) -> list[DType]:
        """The dtypes of what is in the structure, of sparse tensors those of their values."""
        return [
            leaf.dtype if isinstance(leaf, SparseKind) else dtype
            for leaf, dtype in zip(self.leaves, self.dtypes, strict=True)
        ]

    @property
    def told_shapes(self) -> list[Shape]:
        """The shapes of what is in the structure, of sparse tensors their dense shapes."""
        return [
            leaf.shape if isinstance(leaf, SparseKind) else shape
            for leaf, shape in zip(self.leaves, self.shapes, strict=True)
        ]

    @property
    def has_sparse(self) -> bool:
        """Whether there are sparse tensors in the structure."""
        return any(isinstance(leaf, SparseKind) for leaf in self.leaves)

    def is_like(self, other: ElementSpec) -> bool:
        """Whether other elements are of the same types."""
        return self.told_dtypes == other.told_dtypes and self.dtypes == other.dtypes

    @property
    def attrs(self) -> dict[str, Any]:
        """As operations of datasets have it."""
        return {"output_types": self.dtypes, "output_shapes": self.shapes}

    @property
    def types(self) -> Any:
        """A structure of dtypes."""
        return self.packed(self.told_dtypes)

    @property
    def tensor_shapes(self) -> Any:
        """A structure of TensorShapes."""
        return self.packed([TensorShape.from_tuple(shape) for shape in self.told_shapes])

    @property
    def classes(self) -> Any:
        """A structure of classes."""
        return self.packed(
            [SparseTensor if isinstance(leaf, SparseKind) else Tensor for leaf in self.leaves]
        )


def _kind_of(leaf: Any) -> Any:
    """What stands in a structure for a component."""
    return SparseKind(leaf.dtype, leaf.shape._dims) if isinstance(leaf, SparseTensor) else leaf


def _parts(flat: Sequence[Any]) -> tuple[list[DType], list[Shape]]:
    sparse = [isinstance(leaf, SparseKind) for leaf in flat]
    pairs = list(zip(flat, sparse, strict=True))
    return (
        [variant if is_sparse else leaf.dtype.base_dtype for leaf, is_sparse in pairs],
        [None if is_sparse else leaf._shape for leaf, is_sparse in pairs],
    )


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
    """A component as a tensor; datasets and sparse tensors stay such."""
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    is_whole = isinstance(value, OfElements | SparseTensor)
    return value if is_whole else convert_to_tensor(value, name=name)


def tensors_of(structure: Any, by_rows: bool = False) -> list[Tensor]:
    """The components as operations take them: of datasets and sparse tensors variants.

    With `by_rows` those of sparse tensors are vectors, of an entry for each row.
    """
    found = []
    for leaf in components_of(structure):
        if isinstance(leaf, SparseTensor):
            serialize = serialize_many_sparse if by_rows else serialize_sparse
            found.append(serialize(leaf, out_type=variant))
        else:
            found.append(leaf._variant_tensor if isinstance(leaf, OfElements) else leaf)
    return found
