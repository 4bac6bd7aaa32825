"""The libraries of the GPU bench: whether one is here, and how it makes steps of a work.

Every peer gets the same NumPy arrays, puts its parameters on the device, and keeps the inputs of
`resident` variants there; the others come from NumPy arrays each time. What is not fetched stays
on the device, and a round of steps ends when the device has done all of them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from works import in_jax

from on_gpu.work import Adam, Variant, Work, to_torch

# What one step gives: something of the library's, or None.
Step = Callable[[int], Any]


class Absent(Exception):
    """The library cannot be compared with here; the text says why."""


class Steps:
    """The steps of a work in one library.

    `look` is the answer now, on the host; `settle` waits for the device; `notes` tells how the
    steps were run.
    """

    def __init__(
        self,
        variants: dict[Variant, Step],
        look: Step,
        settle: Callable[[], None],
        notes: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.variants = variants
        self.look = look
        self.settle = settle
        self.notes = notes

    def answers(self, work: Work) -> list[Any]:
        """In the order of `right_answers`."""
        turns, found = range(len(work.inputs)), []
        if not work.trains:
            for turn in turns:
                for step in self.variants.values():
                    step(turn)
                found.append(np.asarray(self.look(turn))[:: work.every])
            return found
        for variant, step in self.variants.items():
            given = [step(turn) for turn in turns]
            found += given if variant.fetched else []
            found += [self.look(turn) for turn in turns]
        return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Absent(f"not installed: {error}") from error


def _turns(variant: Variant, resident: list[Any], fed: Callable[[Any], Any], work: Work) -> Any:
    """The function of a step's number that gives its inputs."""
    count = len(work.inputs)
    if variant.resident:
        return lambda number: resident[number % count]
    return lambda number: fed(work.inputs[number % count])


class Peer:
    """A library, on the device that the bench is for: "cuda", or "simulated" for the CPU."""

    name: str

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"

    @property
    def version(self) -> str:
        """As its package says."""
        raise NotImplementedError

    def build(self, work: Work) -> Steps:
        """Steps for each variant of a work, which start from its parameters."""
        raise NotImplementedError


class Ours(Peer):
    """tfsession, on /gpu:0; by the name of a program, as old ones are written."""

    name = "tfsession"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._tf = _module("tfsession")
        self._cupy = _module("cupy") if self.on_gpu else None
        names = [found.name for found in self._tf.Session().list_devices()]
        if not any("GPU:0" in name for name in names):
            raise Absent(f"no GPU among its devices: {names}")

    @property
    def version(self) -> str:
        """As its package says."""
        return str(self._tf.__version__)

    def build(self, work: Work) -> Steps:
        tf = self._tf
        self._use(work.precision)
        with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
            given = [tf.placeholder(array.dtype, array.shape) for array in work.inputs[0]]
            answer = work.in_tfsession(tf, *given)
            variables = tf.trainable_variables()
            train = tf.train.AdamOptimizer(work.rate).minimize(answer) if work.trains else answer
            starts = [tf.placeholder(v.dtype.base_dtype, v.shape) for v in variables]
            assigned = [tf.assign(*pair) for pair in zip(variables, starts, strict=True)]
            copies = [tf.identity(one) for one in given]
            first = tf.global_variables_initializer()
            session = tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True))
        session.run(first)
        session.run([one.op for one in assigned], dict(zip(starts, work.parameters, strict=True)))
        upload = session.make_callable(copies, given, device_fetches=True)
        resident = [upload(*arrays) for arrays in work.inputs]
        fetches = [train, answer] if work.trains else [answer]
        fetched = session.make_callable(fetches, given)
        kept = session.make_callable(train, given, device_fetches=True)
        look = session.make_callable(answer, given)

        def step(variant: Variant) -> Step:
            of = _turns(variant, resident, lambda arrays: arrays, work)
            if variant.fetched:
                return lambda number: fetched(*of(number))[-1]
            return lambda number: kept(*of(number))

        turns = len(work.inputs)
        return Steps(
            {variant: step(variant) for variant in work.variants},
            lambda number: look(*resident[number % turns]),
            self._settle,
            lambda: _recordings(session),
        )

    def _use(self, precision: str) -> None:
        """Let products round float32 to TF32, or not: our own, and those that CuPy does."""
        experimental = getattr(self._tf.config, "experimental", None)
        switch = getattr(experimental, "enable_tensor_float_32_execution", None)
        if switch is not None:
            switch(precision == "tf32")
        if self._cupy is not None:
            use_tf32(precision)

    def _settle(self) -> None:
        if self._cupy is not None:
            self._cupy.cuda.runtime.deviceSynchronize()


def use_tf32(precision: str) -> None:
    """Have CuPy's products of float32 use TF32, or not, in this process from now on."""
    routines = importlib.import_module("cupy._core._routines_linalg")
    kinds = (routines.COMPUTE_TYPE_DEFAULT, routines.COMPUTE_TYPE_TF32)
    routines.set_compute_type(np.dtype("float32"), kinds[precision == "tf32"])


def _recordings(session: Any) -> dict[str, Any]:
    """How many segments the plans of a session have, how many are recorded; what was refused."""
    segments = [s for plan in session._engine._plans.values() for s in plan.segments]
    found = [r for s in segments if (r := getattr(s, "recordings", None)) is not None]
    return {
        "segments": len(segments),
        "recorded": sum(bool(recordings._known) for recordings in found),
        "refused": sorted({" ".join(why.split())[:200] for r in found for why in r.reasons}),
    }


class ByHand(Peer):
    """The text by hand, in CuPy; in NumPy where there is no GPU, so that the text is tried."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.name = "CuPy" if self.on_gpu else "NumPy"
        self._xp = _module("cupy") if self.on_gpu else np

    @property
    def version(self) -> str:
        """As its package says."""
        return str(self._xp.__version__)

    def build(self, work: Work) -> Steps:
        xp = self._xp
        if self.on_gpu:
            use_tf32(work.precision)
        weights = [xp.array(array) for array in work.parameters]
        resident = [[xp.array(array) for array in arrays] for arrays in work.inputs]
        optimizer = Adam(xp, weights, work.rate) if work.trains else None

        def host(value: Any) -> Any:
            return value.get() if self.on_gpu else value

        def step(variant: Variant) -> Step:
            of = _turns(variant, resident, lambda arrays: map(xp.asarray, arrays), work)

            def run(number: int) -> Any:
                found = work.by_hand(xp, weights, *of(number))
                if optimizer is not None:
                    found, grads = found
                    optimizer.update(grads)
                return host(found) if variant.fetched else found

            return run

        def look(number: int) -> Any:
            found = work.by_hand(xp, weights, *resident[number % len(resident)])
            return host(found[0] if work.trains else found)

        settle = xp.cuda.runtime.deviceSynchronize if self.on_gpu else lambda: None
        return Steps({variant: step(variant) for variant in work.variants}, look, settle)


class Torch(Peer):
    """torch, eagerly."""

    name = "torch"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._torch = _module("torch")
        self._device = "cuda" if self.on_gpu else "cpu"
        if self.on_gpu and not self._torch.cuda.is_available():
            raise Absent("torch sees no GPU")

    @property
    def version(self) -> str:
        """As its package says."""
        return str(self._torch.__version__)

    def _made(self, function: Callable[..., Any], work: Work) -> Callable[..., Any]:
        """What is called for a step, of what does it eagerly."""
        return function

    def _optimizer(self, weights: list[Any], work: Work) -> Any:
        options = {"fused": True} if self.on_gpu else {}
        return self._torch.optim.Adam(weights, work.rate, **options)

    def build(self, work: Work) -> Steps:
        torch = self._torch
        torch.backends.cuda.matmul.allow_tf32 = work.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = work.precision == "tf32"
        model, weights = work.torch_model(torch, self._device)
        resident = [self._on_device(arrays) for arrays in work.inputs]
        if work.trains:
            call = self._made(self._training(model, weights, work), work)
        else:
            call = torch.no_grad()(self._made(model, work))

        def step(variant: Variant) -> Step:
            of = _turns(variant, resident, self._fed, work)
            if variant.fetched:
                return lambda number: call(*of(number)).detach().cpu().float().numpy()
            return lambda number: call(*of(number))

        def look(number: int) -> Any:
            with torch.no_grad():
                return model(*resident[number % len(resident)]).cpu().float().numpy()

        settle = torch.cuda.synchronize if self.on_gpu else lambda: None
        return Steps({variant: step(variant) for variant in work.variants}, look, settle)

    def _on_device(self, arrays: Any) -> list[Any]:
        return [to_torch(self._torch, array).to(self._device) for array in arrays]

    def _fed(self, arrays: Any) -> list[Any]:
        """What a step takes of arrays of the host."""
        return self._on_device(arrays)

    def _training(self, model: Any, weights: list[Any], work: Work) -> Callable[..., Any]:
        optimizer = self._optimizer(weights, work)

        def train(*inputs: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = model(*inputs)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return train


class Compiled(Torch):
    """torch.compile, whose CUDA graphs take the calls' overhead away."""

    name = "torch compiled"

    def _optimizer(self, weights: list[Any], work: Work) -> Any:
        # With its counters on the device, or else torch makes no graph of it.
        return self._torch.optim.Adam(weights, work.rate, capturable=self.on_gpu)

    def _made(self, function: Callable[..., Any], work: Work) -> Callable[..., Any]:
        torch = self._torch
        torch._dynamo.reset()
        compiled = torch.compile(function, mode="reduce-overhead")

        def call(*inputs: Any) -> Any:
            torch.compiler.cudagraph_mark_step_begin()
            return compiled(*inputs)

        return call


class Captured(Torch):
    """A whole step of eager torch in one CUDA graph, made by hand: inputs are copied into place."""

    name = "torch graph"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        if not self.on_gpu:
            raise Absent("CUDA graphs need a GPU")

    def _fed(self, arrays: Any) -> list[Any]:
        return [to_torch(self._torch, array) for array in arrays]

    def _optimizer(self, weights: list[Any], work: Work) -> Any:
        self._changed = weights
        self._adam = self._torch.optim.Adam(weights, work.rate, fused=True, capturable=True)
        return self._adam

    def _made(self, function: Callable[..., Any], work: Work) -> Callable[..., Any]:
        torch = self._torch
        places = self._on_device(work.inputs[0])
        saved = [w.detach().clone() for w in self._changed] if work.trains else []
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.set_grad_enabled(work.trains):
            for _ in range(3):
                function(*places)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.set_grad_enabled(work.trains), torch.cuda.graph(graph):
            answer = function(*places)
        with torch.no_grad():  # the steps so far were to warm up: none of them has happened
            for weight, value in zip(self._changed if work.trains else [], saved, strict=True):
                weight.copy_(value)
                for slot in self._adam.state[weight].values():
                    slot.zero_()

        def call(*inputs: Any) -> Any:
            with torch.no_grad():
                for place, value in zip(places, inputs, strict=True):
                    place.copy_(value)
            graph.replay()
            return answer

        return call


class Jax(Peer):
    """jax.jit of the whole step, which gives its state away."""

    name = "jax.jit"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._jax = _module("jax")
        if self.on_gpu and self._jax.default_backend() != "gpu":
            raise Absent(f"jax computes on {self._jax.default_backend()}")

    @property
    def version(self) -> str:
        """As its package says."""
        return str(self._jax.__version__)

    def build(self, work: Work) -> Steps:
        jax = self._jax
        wanted = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
        jax.config.update("jax_default_matmul_precision", wanted[work.precision])
        update = in_jax.adam(jax, work.rate)

        def model(weights: Any, *inputs: Any) -> Any:
            return work.in_jax(jax, weights, *inputs)

        def train(state: Any, *inputs: Any) -> Any:
            weights, slots = state
            loss, grads = jax.value_and_grad(model)(weights, *inputs)
            pairs = [update(*three) for three in zip(weights, grads, slots, strict=True)]
            return ([p for p, _ in pairs], [s for _, s in pairs]), loss

        forward, training = jax.jit(model), jax.jit(train, donate_argnums=0)
        weights = jax.device_put([jax.numpy.array(array) for array in work.parameters])
        slots = [update.slots(w) for w in weights] if work.trains else []
        state = jax.device_put((weights, slots))
        resident = [jax.device_put(arrays) for arrays in work.inputs]
        last = None

        def step(variant: Variant) -> Step:
            of = _turns(variant, resident, lambda arrays: arrays, work)

            def run(number: int) -> Any:
                nonlocal state, last
                if work.trains:
                    state, last = training(state, *of(number))
                else:
                    last = forward(state[0], *of(number))
                return np.asarray(last) if variant.fetched else last

            return run

        def look(number: int) -> Any:
            return np.asarray(forward(state[0], *resident[number % len(resident)]))

        def settle() -> None:
            jax.block_until_ready((state, last))

        return Steps({variant: step(variant) for variant in work.variants}, look, settle)


PEERS = (Ours, ByHand, Torch, Compiled, Captured, Jax)
