"""The rule tables: what is registered under an op's name, by whom, and found by whom.

Ops, kernels and gradients are loaded at the first look-up (`core.late`), so that importing the
library does not import them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tfsession.core import late
from tfsession.core.dtypes import DType, as_dtype

if TYPE_CHECKING:
    from tfsession.core.op_def import OpDef

V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])


def caller_site(depth: int = 2) -> str:
    """`file:line` of the code that called the caller of this function."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Registry(Generic[V]):
    """A table of rules by name; a second registration fails and names the first one's place."""

    def __init__(self, kind: str, rest: late.Late | None = None) -> None:
        self.kind = kind
        self._rules: dict[str, V] = {}
        self._sites: dict[str, str] = {}
        self._rest = rest  # what registers the rules, until it has

    def register(self, name: str, rule: V, site: str) -> None:
        """Add a rule; raises ValueError when `name` has one already, from another place.

        From the same place it comes again when Ctrl-C has ended the import of a module half-way.
        """
        if self._sites.get(name, site) != site:
            raise ValueError(
                f"The {self.kind} of {name!r} is registered already, at {self._sites[name]}"
            )
        self._rules[name] = rule
        self._sites[name] = site

    def _loaded(self) -> dict[str, V]:
        if self._rest is not None and self._rest.loaded():
            self._rest = None
        return self._rules

    def get(self, name: str) -> V | None:
        """The rule of `name`, or None."""
        rules = self._rules if self._rest is None else self._loaded()
        return rules.get(name)

    def __getitem__(self, name: str) -> V:
        return self._loaded()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded()

    def names(self) -> Iterable[str]:
        """All names that have a rule."""
        return self._loaded().keys()

    def site(self, name: str) -> str:
        """`file:line` of the registration of `name`."""
        self._loaded()
        return self._sites[name]


# A gradient takes (op, *gradients of the outputs) and gives one tensor or None for each input;
# the rule None says that no gradient flows back.
gradients: Registry[Callable[..., Any] | None] = Registry("gradient", late.gradients)


def gradient(*op_types: str) -> Callable[[F], F]:
    """Register the decorated `f(op, *grads)` as the gradient of each of `op_types`."""
    site = caller_site()

    def register(function: F) -> F:
        for op_type in op_types:
            gradients.register(op_type, function, site)
        return function

    return register


# What stands for an operation that calls functions, where the graph alone cannot tell: see
# `graph.lowering`.
lowerings: Registry[Callable[..., Any]] = Registry("lowering", late.gradients)


def lowering(op_type: str) -> Callable[[F], F]:
    """Register the decorated `f(writer)`, which gives the outputs, as what `op_type` becomes."""
    site = caller_site()

    def register(function: F) -> F:
        lowerings.register(op_type, function, site)
        return function

    return register


def no_gradient(*op_types: str) -> None:
    """Say that no gradient flows back through these ops."""
    site = caller_site()
    for op_type in op_types:
        gradients.register(op_type, None, site)


class Spelling(NamedTuple):
    """A kernel as Python text, for who writes functions of many operations.

    In `text`, `{0}` is the first input and so on, `{result}` the output or several, `{out}` names
    behind a comma, or is nothing, an array that the output is written to; `values` are what other
    names in braces stand for.
    """

    text: str
    values: dict[str, Any]


# What spells a kernel: of the inputs, as tensors, the attributes, and what gives the value of an
# input by its number, if that is a constant. None where the inputs may not be as they must.
Spell = Callable[[Sequence[Any], dict[str, Any], Callable[[int], Any]], Spelling | None]


class Kernel:
    """One implementation of an op, with all that placing and planning must know about it.

    `host` names the inputs that arrive in host memory on every device, `host_outputs` the outputs
    that are produced there; `aliases` says that an output may share memory with an input;
    `constant` that the kernel runs once, when a plan is made; `forwards` that the output is the
    first input itself, so that no call is needed; `ufunc` names the ufunc that is the kernel;
    `elementwise` says that each element of the output depends on those in its place alone, so that
    the kernel may be called on blocks: of inputs that "broadcast", as those of ufuncs do, or are
    "same" in shape but for scalars, or are a value and a "bias" along its last dimension;
    `reduces` that it reduces its first input along the axes in its second, attribute `keep_dims`:
    it names the ufunc that makes one number of all, of which `finish(total, count)` makes the
    result if it is not that, or is "rows" where only rows can be reduced apart from each other;
    `slow` from so many elements of its inputs on it keeps one thread busy for some tenths of a
    millisecond, so that operations like it which need nothing of each other run at once;
    `blocking` that it may return a `core.pending.Pending` instead of its outputs, so that a step
    can wait, be cancelled and go on elsewhere; `types` restricts type attributes to some dtypes;
    `unseen` names inputs that the function does not look at, so that they may lie in any memory,
    each with the output that hands it on, or with an empty text;
    `apart` says that its outputs share no memory with each other, `takes_over` that the function
    may keep its last input itself, where it is told that it is `owned`: nobody else will have it;
    `takes_out` that it writes into `out`, an array of the result, which may be one of the inputs;
    `keeps` names inputs: where these are constants, the function gets a dict of the operation's own
    as `kept`, for what it has found out about them;
    `traces` that it is all of functions, reductions and shapes, so that code can be written of it,
    as it can of what is `elementwise` or `reduces`;
    `records` that a GPU may record what the kernel does, and do it again without asking it: so it
    is by default where it is neither stateful nor blocking, and what it works on is arrays and
    variables (`is_vouched_for` where it is said of an operation with another state);
    `form` names another way to do it, which only a plan asks for that knows more than a device
    does: "padded" works with indices of which each comes once, but -1, which stands for no row;
    `spells` gives its text where what the graph says of shapes makes all checks needless;
    `joins` names what computes several such operations of a GPU together, one of `fusers`;
    `site` is the place of the registration.
    """

    __slots__ = (
        "_keywords",
        "_parameters",
        "aliases",
        "apart",
        "blocking",
        "constant",
        "device",
        "elementwise",
        "finish",
        "form",
        "forwards",
        "function",
        "host",
        "host_outputs",
        "is_vouched_for",
        "joins",
        "keeps",
        "kept",
        "op_type",
        "records",
        "reduces",
        "site",
        "slow",
        "spells",
        "stateful",
        "takes_out",
        "takes_over",
        "traces",
        "types",
        "ufunc",
        "unseen",
    )

    def __init__(
        self,
        op_type: str,
        function: Callable[..., Any] | None,
        *,
        ufunc: str | None = None,
        elementwise: str = "",
        reduces: str = "",
        finish: Callable[[Any, int], Any] | None = None,
        device: str | None = None,
        host: Iterable[str] = (),
        host_outputs: Iterable[str] = (),
        aliases: bool = False,
        constant: bool = False,
        forwards: bool = False,
        stateful: bool = False,
        blocking: bool = False,
        slow: int = 0,
        types: dict[str, Iterable[Any]] | None = None,
        unseen: dict[str, str] | None = None,
        apart: bool = False,
        keeps: Iterable[str] = (),
        records: bool | None = None,
        traces: bool = False,
        form: str = "",
        spells: Spell | None = None,
        joins: str = "",
        site: str = "",
    ) -> None:
        self.op_type = op_type
        self.site = site
        self.function = function
        self.ufunc = ufunc
        self.elementwise = "broadcast" if ufunc is not None else elementwise
        self.reduces = reduces
        self.finish = finish
        self.form = form
        self.joins = joins
        self.device = device
        self.host = frozenset(host)
        self.host_outputs = frozenset(host_outputs)
        self.aliases = aliases or forwards
        self.forwards = forwards
        self.constant = constant
        self.stateful = stateful
        self.blocking = blocking
        self.slow = slow
        self.spells = spells
        self.unseen = unseen or {}
        self.apart = apart
        self.keeps = frozenset(keeps)
        self.kept: dict[str, Any] | None = None
        self.traces = traces or bool(self.elementwise or reduces)
        self.records = not (stateful or blocking) if records is None else records
        self.is_vouched_for = records is True
        self.types: dict[str, frozenset[DType]] = {
            attr: frozenset(map(as_dtype, allowed)) for attr, allowed in (types or {}).items()
        }
        code = function.__code__ if function is not None else None
        self._parameters: tuple[str, ...] = (
            code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        )
        self._keywords: dict[OpDef, tuple[str, ...]] = {}
        self.takes_over = "owned" in self._parameters
        self.takes_out = ufunc is not None or "out" in self._parameters

    @property
    def name(self) -> str:
        """What tells it from others that are for the same device."""
        return f"{self.op_type} {self.form}".rstrip()

    @property
    def takes_then(self) -> bool:
        """Whether the function tells of each block of its result, where it is given `then`."""
        return "then" in self._parameters

    def supports(self, device_type: str, attrs: dict[str, Any]) -> bool:
        """Whether the kernel runs on `device_type` for an op with these attributes."""
        if self.device is not None and self.device != device_type:
            return False
        for name, allowed in self.types.items():
            value = attrs.get(name)
            if isinstance(value, list):
                if not allowed.issuperset(value):
                    return False
            elif value not in allowed:
                return False
        return True

    def bind(self, first: Any, op_def: OpDef, attrs: dict[str, Any]) -> Callable[..., Any]:
        """The function of the inputs alone; `first` is the array module, or the kernel context."""
        if self.ufunc is not None:
            own = fusers["function"](first, self.ufunc, attrs.get("T")) if attrs else None
            bound: Callable[..., Any] = own or getattr(first, self.ufunc)
            return bound
        assert self.function is not None
        return partial(self.function, first, **self._values(op_def, attrs))

    def give(self, first: Any, op_def: OpDef, attrs: dict[str, Any]) -> Any:
        """What the function gives that needs no inputs."""
        assert self.function is not None
        return self.function(first, **self._values(op_def, attrs))

    def _values(self, op_def: OpDef, attrs: dict[str, Any]) -> dict[str, Any]:
        values = {name: attrs[name] for name in self.keywords(op_def)}
        if self.kept is not None:
            values["kept"] = self.kept
        return values

    def keeping(self) -> Kernel:
        """This kernel for one operation, of which the inputs that `keeps` names are constants."""
        own = copy(self)
        own.kept = {}
        return own

    def keeping_nothing(self) -> Kernel:
        """This kernel where its inputs are not what the operation says."""
        own = copy(self)
        own.kept = None
        return own

    def keywords(self, op_def: OpDef) -> tuple[str, ...]:
        """The attributes that the function takes as keyword arguments."""
        if not op_def.attrs:
            return ()
        found = self._keywords.get(op_def)
        if found is None:
            found = tuple(name for name in self._parameters[1:] if name in op_def.attrs)
            self._keywords[op_def] = found
        return found


kernels: Registry[list[Kernel]] = Registry("kernel", late.kernels)


# What an operation gives for many values of its first input, each by itself: `f(values, *inputs,
# **attrs)` gives a tuple of outputs for each; attributes are those that its kernel takes.
by_rows: Registry[Callable[..., Any]] = Registry("rule by rows", late.kernels)


def for_each_row(op_type: str) -> Callable[[F], F]:
    """Register the decorated function in `by_rows`."""
    site = caller_site()

    def register(function: F) -> F:
        by_rows.register(op_type, function, site)
        return function

    return register


# What an operation of values of its first input, channels last, and of vectors of channels gives as
# a factor and a shift of each channel: `f(xp, **attrs)`, with those attributes that it takes, gives
# a function of the vectors that tells both, or None where its attributes say that it is none such.
affines: Registry[Callable[..., Any]] = Registry("rule of channels", late.kernels)


def affine(*op_types: str) -> Callable[[F], F]:
    """Register the decorated function in `affines`."""
    site = caller_site()

    def register(function: F) -> F:
        for op_type in op_types:
            affines.register(op_type, function, site)
        return function

    return register


# What computes operations of a GPU together. "group" is any: `f(xp, calls, given, results)`, with
# the calls of `devices.program`, gives a function of the values that are given, which gives a list
# of results, or None where they have to be computed one after another. "attention" is
# `f(xp, scale, is_masked, transposed)`, which gives a function of Q, K, V and the mask;
# "convolution" is `f(xp, op_type, attrs)`, which gives one of images, filters, what the library of
# products shall do to the result, and the bias or None. On the host, "pieces" is `f(attrs, shape,
# filters, added)`, which gives the pieces of a convolution of images of a shape, and "layer" is
# `f(rows, weights, bias, is_rectified)`, which gives what writes a dense layer where nothing can be
# NaN, `f(x, out)`, or None; "rows of a layer" is `f(rows, some, weights, bias)`, which gives the
# same by numbers of rows, of which blocks of a layer that is not rectified are made. "loop" is
# `f(calls, inputs, results)`, which gives one ufunc for element-wise operations, or None, and "can
# be in a loop" is `f(call, inputs)`, which tells it of one of them; "function" is `f(xp, name,
# dtype)`, which gives what stands for a ufunc of `xp`, or None.
fusers: Registry[Callable[..., Any]] = Registry("fuser", late.kernels)


def fuser(name: str) -> Callable[[F], F]:
    """Register the decorated function in `fusers`."""
    site = caller_site()

    def register(function: F) -> F:
        fusers.register(name, function, site)
        return function

    return register


def _add_kernel(kernel: Kernel) -> None:
    same_op = kernels._rules.get(kernel.op_type)
    if same_op is None:
        kernels.register(kernel.op_type, [kernel], kernel.site)
        return
    for number, other in enumerate(same_op):
        if (other.device, other.types, other.form) == (kernel.device, kernel.types, kernel.form):
            if other.site != kernel.site:
                raise ValueError(
                    f"The kernel of {kernel.op_type!r} is registered already, at {other.site}"
                )
            same_op[number] = kernel
            return
    same_op.append(kernel)


def kernel(*op_types: str, **properties: Any) -> Callable[[F], F]:
    """Register the decorated function as the kernel of each of `op_types`.

    The function is `f(xp, *inputs, **attrs)`, or `f(ctx, *inputs, **attrs)` with `stateful=True`;
    the properties are those of `Kernel`: `device`, `host`, `host_outputs`, `aliases`,
    `constant`, `forwards`, `stateful`, `blocking`, `types`, `unseen`, `slow`, `elementwise`,
    `reduces`, `finish`, `apart`, `keeps`, `records`, `traces`, `form`,
    `joins`.
    """
    site = caller_site()

    def register(function: F) -> F:
        for op_type in op_types:
            _add_kernel(Kernel(op_type, function, site=site, **properties))
        return function

    return register


def elementwise(op_type: str, ufunc: str, **properties: Any) -> None:
    """Register the ufunc named `ufunc` (in NumPy and CuPy alike) as the kernel of `op_type`."""
    _add_kernel(Kernel(op_type, None, ufunc=ufunc, site=caller_site(), **properties))


def find_kernel(
    op_type: str, device_type: str, attrs: dict[str, Any], form: str = ""
) -> Kernel | None:
    """The kernel for an op on a device type: one made for the device goes before a common one."""
    found: Kernel | None = None
    for candidate in kernels.get(op_type) or ():
        if candidate.form != form:
            continue
        device = candidate.device
        if (device is None and not candidate.types) or candidate.supports(device_type, attrs):
            if device is not None:
                return candidate
            found = found or candidate
    return found
