"""What else may be made of a dataset: windows and groups, its start, its elements' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import bool_, int32, int64, string, variant
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.dataset_function import ElementFunction, dataset_function
from tfsession.ops.dataset_structure import (
    ElementSpec,
    OfElements,
    components_of,
    is_structure,
    normalized,
    packed,
    tensors_of,
)


class Transforms(OfElements):
    """Methods of datasets beside the common ones."""

    def _made(
        self, kind: str, inputs: Sequence[Any] = (), spec: ElementSpec | None = None, **attrs: Any
    ) -> Any:
        """A dataset that reads this one."""
        raise NotImplementedError

    def window(
        self,
        size: Any,
        shift: Any = None,
        stride: Any = 1,
        drop_remainder: Any = False,
        name: str | None = None,
    ) -> Any:
        """For runs of neighbours, datasets: of each component one, in the structure of elements.

        Example:
            `dataset.window(3, 1).flat_map(lambda part: part.batch(3))` slides over the elements.

        Args:
            size: how many elements are in a window.
            shift: how far the next one begins behind this one; `size` by default.
            stride: how far elements of a window stand from each other.
            drop_remainder: leave windows out that are not full.
            name: not used.
        """
        own = self._spec
        parts = zip(components_of(own.structure), own.dtypes, own.shapes, strict=True)
        kinds = [self._of(None, ElementSpec(leaf, [t], [s])) for leaf, t, s in parts]
        count = len(kinds)
        spec = ElementSpec(packed(own.structure, kinds), [variant] * count, [()] * count)
        sizes = [(size, "size"), (size if shift is None else shift, "shift"), (stride, "stride")]
        inputs = [convert_to_tensor(value, int64, name=name) for value, name in sizes]
        drops = convert_to_tensor(drop_remainder, bool_, name="drop_remainder")
        return self._made("WindowDataset", [*inputs, drops], spec)

    def _of(self, variant_tensor: Tensor | None, spec: ElementSpec) -> Any:
        """A dataset of other elements."""
        return type(self._like(None))(variant_tensor, spec)  # type: ignore[call-arg]

    def unbatch(self, name: str | None = None) -> Any:
        """The rows of the elements, one after another.

        Raises:
            ValueError: a component is a scalar.
        """
        if () in self._spec.told_shapes:
            raise ValueError("Unbatching a tensor is only supported for rank >= 1")
        spec = self._spec.with_shapes(lambda s: None if s is None else s[1:])
        return self._by_rows()._made("UnbatchDataset", [], spec)

    def _by_rows(self) -> Any:
        """The same elements, of which sparse tensors can be cut into rows."""
        if not self._spec.has_sparse:
            return self

        def same(*element: Any) -> Any:
            return element if isinstance(self._spec.structure, tuple) else element[0]

        function = ElementFunction(same, self._spec, "unbatch", by_rows=True)
        return self._made("MapDataset", [function.captured], f=function.attr)

    def unique(self, name: str | None = None) -> Any:
        """Each element but once: of one component, int32, int64 or string.

        Raises:
            TypeError: elements have several components, or another dtype.
        """
        if self._spec.dtypes not in ([int32], [int64], [string]):
            raise TypeError(
                "The `tf.data.Dataset.unique` API does not support elements of types "
                f"{self.output_types!r}: it must be one of int32, int64 and string."
            )
        return self._made("UniqueDataset")

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Any:
        """The elements before the first for which a function gives false.

        Raises:
            ValueError: it gives something else than a bool scalar.
        """
        function = ElementFunction(predicate, self._spec, "take_while")
        spec = function.spec
        if spec.dtypes != [bool_] or is_structure(spec.structure):
            raise ValueError(
                "Invalid `predicate`. `predicate` must return a `tf.bool` scalar tensor, but its "
                f"return type is {spec.types}."
            )
        return self._made("TakeWhileDataset", [function.captured], predicate=function.attr)

    def ignore_errors(self, log_warning: bool = False, name: str | None = None) -> Any:
        """The elements that can be made; those that fail are left out.

        Args:
            log_warning: accepted.
            name: not used.
        """
        return self._made("IgnoreErrorsDataset", log_warning=log_warning)

    def scan(
        self, initial_state: Any, scan_func: Callable[..., Any], name: str | None = None
    ) -> Any:
        """What a function gives for a state and each element, beside the next state.

        Args:
            initial_state: a structure of tensors.
            scan_func: takes a state and an element, gives the next state and a result.
            name: not used.

        Raises:
            TypeError: it gives no pair, or a state of other types.
        """
        state = normalized(initial_state)
        own = ElementSpec.of(state)
        both = ElementSpec(
            (own.structure, self._spec.structure),
            [*own.dtypes, *self._spec.dtypes],
            [*own.shapes, *self._spec.shapes],
        )
        function = ElementFunction(scan_func, both, "scan")
        result = function.result
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError("Invalid `scan_func`. `scan_func` should return a pair: state, result.")
        if ElementSpec.of(result[0]).dtypes != own.dtypes:
            raise TypeError(
                f"The element types for the new state must match the initial state: {own.types}."
            )
        inputs = [tensors_of(state), function.captured]
        return self._made("ScanDataset", inputs, ElementSpec.of(result[1]), f=function.attr)

    def group_by_window(
        self,
        key_func: Callable[..., Any],
        reduce_func: Callable[..., Any],
        window_size: Any = None,
        window_size_func: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Any:
        """What a function makes of groups of elements with one key.

        Args:
            key_func: gives an int64 scalar for an element.
            reduce_func: takes a key and a dataset of elements with it, gives a dataset.
            window_size: how many elements make a group; the last ones of a key may be fewer.
            window_size_func: gives that for a key, in place of `window_size`.
            name: not used.

        Raises:
            ValueError: both or none of the sizes are given.
        """
        if (window_size is None) == (window_size_func is None):
            raise ValueError("Must pass either window_size or window_size_func.")
        key = ElementFunction(key_func, self._spec, "key", lambda k: convert_to_tensor(k, int64))
        numbered = ElementSpec.declared(int64, ())
        size = ElementFunction(
            window_size_func or (lambda key: window_size),
            numbered,
            "window_size",
            lambda size: convert_to_tensor(size, int64),
        )
        group = ElementSpec(
            (numbered.structure, self._of(None, self._spec)), [int64, variant], [(), ()]
        )
        reduce, spec = dataset_function(reduce_func, group, "reduce", "reduce_func")
        inputs = [key.captured, reduce.captured, size.captured]
        functions = {"key_func": key, "reduce_func": reduce, "window_size_func": size}
        attrs = {name: function.attr for name, function in functions.items()}
        return self._made("GroupByWindowDataset", inputs, spec, **attrs)

    def get_single_element(self, name: str | None = None) -> Any:
        """The one element, as tensors; a step fails with InvalidArgumentError for none or more."""
        spec = self._spec
        outputs = create_op("DatasetToSingleElement", [self._variant_tensor], spec.attrs, name)
        return spec.element(list(outputs) if isinstance(outputs, list | tuple) else [outputs])
