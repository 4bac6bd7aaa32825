"""What a session is asked for: target and ConfigProto, checked; RunOptions as terms of a step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tfsession.core import forking, protos
from tfsession.core.device_spec import canonical
from tfsession.core.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from tfsession.core.modes import modes
from tfsession.runtime.control import Gate, Recorder, StepControl


def checked_target(target: Any) -> bytes | None:
    """The target as bytes; TypeError when it is no text."""
    if target is None or isinstance(target, bytes):
        return target
    if isinstance(target, str):
        return target.encode()
    text = f'Argument `target` must be a string, but got "{type(target).__name__}"'
    if type(target).__name__ == "ConfigProto":
        text += '. Did you do "Session(config)" instead of "Session(config=config)"?'
    raise TypeError(text)


def check_names(names: Iterable[Any]) -> None:
    """Raise TypeError where a name is no text, UnicodeEncodeError where it cannot be encoded."""
    for name in names:
        if isinstance(name, str):
            name.encode()
        elif not isinstance(name, bytes):
            raise TypeError(f"Expected binary or unicode string, got {name!r}")


def checked_config(config: Any) -> Any:
    """An own copy of the configuration; of None, what `tf.config` says, or None.

    Raises:
        TypeError: it is no ConfigProto.
        UnimplementedError, NotFoundError: to ignore a part of it would give wrong results.
        InvalidArgumentError: a device filter is no device, or the session's version negative.
    """
    if config is None:
        if not (modes.intra_op_threads or modes.inter_op_threads):
            return None
        config = protos.ConfigProto(
            intra_op_parallelism_threads=modes.intra_op_threads,
            inter_op_parallelism_threads=modes.inter_op_threads,
        )
    try:
        own = protos.ConfigProto.FromString(
            protos.coerce(config, protos.ConfigProto).SerializeToString()
        )
    except TypeError:
        raise TypeError(
            f'Argument `config` must be a tf.ConfigProto, but got "{type(config).__name__}"'
        ) from None
    if any(job.tasks for job in own.cluster_def.job):
        raise UnimplementedError(None, None, "A cluster_def with tasks is not supported.")
    rewrite = own.graph_options.rewrite_options
    if rewrite.auto_parallel.enable:
        raise UnimplementedError(None, None, "rewrite_options.auto_parallel is not supported.")
    if rewrite.auto_mixed_precision == protos.RewriterConfig.ON:
        raise UnimplementedError(
            None, None, "rewrite_options.auto_mixed_precision is not supported."
        )
    for optimizer in rewrite.custom_optimizers:
        raise NotFoundError(None, None, f"No custom optimizer is called {optimizer.name!r}.")
    _check_values(own)
    return own


def _check_values(config: Any) -> None:
    """Raise InvalidArgumentError for values that no session can have."""
    for text in config.device_filters:
        try:
            if text and not text.startswith("/"):
                raise ValueError(text)
            canonical(text)
        except ValueError:
            raise InvalidArgumentError(None, None, f"Invalid device filter: {text}") from None
    metadata = config.experimental.session_metadata
    if metadata.version < 0:
        text = f"Session version shouldn't be negative: {metadata}"
        raise InvalidArgumentError(None, None, text)


def check_scheme(target: bytes | None, config: Any) -> None:
    """Raise UnimplementedError or NotFoundError for a target that is not this process."""
    if not target:
        return
    text = target.decode()
    if text.startswith("grpc://"):
        raise UnimplementedError(None, None, "Sessions on other processes are not supported.")
    settings = " ".join(str(config or "").split())
    raise NotFoundError(
        None,
        None,
        "No session factory registered for the given session options: "
        f'{{target: "{text}" config: {settings}}} Registered factories are '
        "{GRPC_SESSION, DIRECT_SESSION}.",
    )


def parsed_options(options: Any) -> Any:
    """RunOptions from any message; None stays None.

    Raises:
        AttributeError: it is no message.
        UnimplementedError: it asks for a debugger's watches.
    """
    if not options:
        return None
    own = protos.RunOptions.FromString(options.SerializeToString())
    if own.debug_options.debug_tensor_watch_opts:
        raise UnimplementedError(None, None, "debug_options: tensor watches are not supported.")
    return own


_named_gates: dict[str, Gate | None] = {}
_named_gates_lock = forking.lock()


# As in TensorFlow, for a folded constant.
_MOST_BYTES = 10 << 20


def _records_by_default() -> bool:
    """Whether the environment lets GPUs record steps."""
    return os.environ.get("TFSESSION_GPU_GRAPHS", "1") not in ("0", "false")


@dataclass(slots=True, frozen=True)
class Optimizations:
    """What may be done to a step before it runs; the bits of what is fetched stay the same.

    `folds`: what depends on constants alone is computed once, unless it is larger than
    `most_folded_bytes`. `shares`: what would be computed twice is computed once. `simplifies`:
    arithmetic that gives its input is left out. `bypasses`: who reads an Identity reads what that
    one reads, and what is only waited for does not run. `fuses`: several operations may be
    computed as one. `records`: a GPU may record what it is asked to do, and do it again.
    """

    folds: bool = True
    shares: bool = True
    simplifies: bool = True
    bypasses: bool = True
    fuses: bool = True
    records: bool = field(default_factory=_records_by_default)
    most_folded_bytes: int = _MOST_BYTES

    @property
    def rewrites(self) -> bool:
        """Whether any of them may change which operations run."""
        return self.folds or self.shares or self.simplifies or self.bypasses


def optimizations_of(config: Any) -> Optimizations:
    """The optimizations that a ConfigProto asks for; all of them where there is none.

    `optimizer_options.opt_level` decides, L0 against all and L1 for all; its `do_...` fields add
    to L0. Fields of `rewrite_options` go before it, each for its own;
    `disable_meta_optimizer` voids these, and ends what they alone are about.
    """
    if config is None:
        return Optimizations()
    options, rewrite = config.graph_options.optimizer_options, config.graph_options.rewrite_options
    most = options.max_folded_constant_in_bytes
    is_on: bool = options.opt_level >= protos.OptimizerOptions.L1
    has_rewriter = not rewrite.disable_meta_optimizer

    def wanted(toggle: int, otherwise: bool) -> bool:
        if not has_rewriter or toggle == protos.RewriterConfig.DEFAULT:
            return otherwise
        return bool(toggle != protos.RewriterConfig.OFF)

    return Optimizations(
        folds=wanted(rewrite.constant_folding, is_on or options.do_constant_folding),
        shares=wanted(
            rewrite.common_subgraph_elimination,
            is_on or options.do_common_subexpression_elimination,
        ),
        simplifies=wanted(rewrite.arithmetic_optimization, is_on and has_rewriter),
        bypasses=wanted(rewrite.dependency_optimization, is_on and has_rewriter),
        fuses=wanted(rewrite.remapping, is_on),
        records=is_on and _records_by_default(),
        most_folded_bytes=most if most > 0 else _MOST_BYTES,
    )


# All of them run a step's operations one after another.
_EXECUTORS = ("DEFAULT", "", "SINGLE_THREADED_EXECUTOR")


class RunTerms:
    """Under what terms the steps of a session run: timeout and pools, from its configuration."""

    def __init__(self, config: Any = None) -> None:
        self.config = config
        self.optimizations = optimizations_of(config)
        self._timeout_ms = 0
        self._pools: list[Gate | None] = [None]
        if config is None:
            return
        self._timeout_ms = config.operation_timeout_in_ms
        size = config.inter_op_parallelism_threads
        pools = config.session_inter_op_thread_pool
        self._pools = [_pool(p.num_threads or size, p.global_name) for p in pools] or [_pool(size)]

    def check_executor(self) -> None:
        """Raise NotFoundError when the configuration asks for an executor that there is not."""
        wanted = "" if self.config is None else self.config.experimental.executor_type
        if wanted not in _EXECUTORS:
            raise NotFoundError(
                None,
                None,
                f"No executor factory registered for the given executor type: {wanted} Registered "
                f"factories are {{{', '.join(_EXECUTORS)}}}.",
            )

    @property
    def counts_runs(self) -> bool:
        """Whether runs are counted, because some of them are measured for a cost graph."""
        return self.config is not None and self.config.graph_options.build_cost_model > 0

    @property
    def threads(self) -> int:
        """How many threads may compute for a step; 0 for as many as there are cores."""
        return 0 if self.config is None else max(0, self.config.intra_op_parallelism_threads)

    @property
    def strips_debug(self) -> bool:
        """Whether checks and prints are taken out of steps: only when asked for by name."""
        if self.config is None:
            return False
        rewrite = self.config.graph_options.rewrite_options
        is_on: bool = rewrite.debug_stripper == protos.RewriterConfig.ON
        return is_on and not rewrite.disable_meta_optimizer

    @property
    def default(self) -> Callable[[], StepControl] | None:
        """Makes the terms of a step that asks for nothing; None when there are none."""
        gate, seconds = self._pools[0], self._timeout_ms / 1e3
        if seconds > 0:
            return lambda: StepControl(seconds, gate)
        if gate is None:
            return None
        control = StepControl(None, gate)  # nothing in it changes: one will do for all
        return lambda: control

    def control(self, options: Any = None, recorder: Recorder | None = None) -> StepControl:
        """The terms of a step with these RunOptions.

        Raises:
            InvalidArgumentError: they name a pool that the session does not have.
        """
        timeout_ms, gate = self._timeout_ms, self._pools[0]
        if options is not None:
            timeout_ms = options.timeout_in_ms if options.timeout_in_ms > 0 else timeout_ms
            gate = self._gate(options.inter_op_thread_pool)
        return StepControl(timeout_ms / 1e3 if timeout_ms > 0 else None, gate, recorder)

    def _gate(self, pool: int) -> Gate | None:
        if pool == -1:  # the caller's own thread
            return None
        if not 0 <= pool < len(self._pools):
            raise InvalidArgumentError(None, None, f"Invalid inter_op_thread_pool: {pool}")
        return self._pools[pool]


def _pool(size: int, name: str = "") -> Gate | None:
    """A gate of this size, shared by all sessions that name it; None where nothing is limited."""
    if not name:
        return Gate(size) if size > 0 else None
    with _named_gates_lock:
        if name not in _named_gates:
            _named_gates[name] = _pool(size)
        return _named_gates[name]
