"""What a work of the GPU bench is, and the answers that every library must give."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np

# The sizes of float32 numbers, and of those that products are computed of.
PRECISIONS = ("float32", "tf32", "bfloat16")
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Variant(NamedTuple):
    """Where the inputs of a step come from, and whether the program reads what it gives."""

    resident: bool
    fetched: bool

    def __str__(self) -> str:
        source = "inputs on the device" if self.resident else "fed from the host"
        return f"{source}, {'answer fetched' if self.fetched else 'nothing fetched'}"


RESIDENT = Variant(resident=True, fetched=False)
FED = Variant(resident=False, fetched=True)


class Work:
    """One work: numbers, and what is computed of them, in the words of each library.

    `by_hand` is for NumPy and CuPy, and computes the answers too, in float64. A work that trains
    gives a loss in each text, and by hand the gradients as well; the others give one array.

    Attributes:
        parameters: arrays that stay on the device; one that trains changes them.
        inputs: the inputs of one step after another, in turns.
        tolerance: how far an answer may be off, in units of the root mean square of the right one.
        flop: floating point operations of matrix products and convolutions in a step.
        moved: bytes that a step must read and write if it keeps all else on the chip.
        depth: how many kernels must follow one another at least.
        every: of an answer only each so many-th row is compared.
    """

    precision: str = "float32"
    trains: ClassVar[bool] = False
    rate: ClassVar[float] = 1e-3
    variants: tuple[Variant, ...] = (RESIDENT,)
    name: str
    parameters: list[Any]
    inputs: list[tuple[Any, ...]]
    flop = 0.0
    moved = 0.0
    depth = 1
    every = 1

    @property
    def tolerance(self) -> float:
        """By the precision of products; sums of many terms lose some digits."""
        return {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 5e-2}[self.precision]

    def by_hand(self, xp: Any, weights: list[Any], *inputs: Any) -> Any:
        """The answer, or the loss and the gradients of the weights."""
        raise NotImplementedError

    def in_tfsession(self, tf: Any, *inputs: Any) -> Any:
        """The answer or the loss; trainable variables are made in the order of `parameters`."""
        raise NotImplementedError

    def in_torch(self, torch: Any, weights: list[Any], *inputs: Any) -> Any:
        """The answer or the loss."""
        raise NotImplementedError

    def in_jax(self, jax: Any, weights: list[Any], *inputs: Any) -> Any:
        """The answer or the loss."""
        raise NotImplementedError

    def variables(self, tf: Any) -> list[Any]:
        """A variable for each parameter; their values are assigned later."""
        return [tf.Variable(tf.zeros(a.shape, a.dtype)) for a in self.parameters]

    def torch_model(self, torch: Any, device: str) -> tuple[Any, list[Any]]:
        """The function of the inputs, and what an optimizer changes."""
        # Copies, since a tensor on the CPU is else the array itself, which a step would change.
        weights = [to_torch(torch, array).to(device, copy=True) for array in self.parameters]
        for weight in weights:
            weight.requires_grad_(self.trains)
        return lambda *inputs: self.in_torch(torch, weights, *inputs), weights


def to_torch(torch: Any, array: Any) -> Any:
    """A tensor in host memory over a NumPy array, of bfloat16 too."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_bfloat16(arrays: list[Any]) -> list[Any]:
    """The nearest numbers of bfloat16."""
    return [array.astype(ml_dtypes.bfloat16) for array in arrays]


class Adam:
    """Adam on arrays, as TensorFlow writes it: `update` changes them where they lie."""

    def __init__(self, xp: Any, weights: list[Any], rate: float) -> None:
        self._xp, self._weights, self._rate = xp, weights, rate
        self._slots = [(xp.zeros_like(w), xp.zeros_like(w)) for w in weights]
        self._steps = 0

    def update(self, grads: list[Any]) -> None:
        """One step."""
        self._steps += 1
        scale = self._rate * (1 - BETA2**self._steps) ** 0.5 / (1 - BETA1**self._steps)
        for weight, grad, (m, v) in zip(self._weights, grads, self._slots, strict=True):
            m += (1 - BETA1) * (grad - m)
            v += (1 - BETA2) * (grad * grad - v)
            weight -= scale * m / (self._xp.sqrt(v) + EPSILON)


def _double(array: Any) -> Any:
    return array if array.dtype.kind == "i" else array.astype(np.float64)


def right_answers(work: Work) -> list[Any]:
    """What `answers` must be near to, computed by NumPy in float64."""
    weights = [_double(array) for array in work.parameters]
    if not work.trains:
        rows = [[_double(a[:: work.every]) for a in arrays] for arrays in work.inputs]
        return [work.by_hand(np, weights, *arrays) for arrays in rows]
    optimizer, found = Adam(np, weights, work.rate), []
    given = [[_double(a) for a in arrays] for arrays in work.inputs]
    for variant in work.variants:
        for arrays in given:
            loss, grads = work.by_hand(np, weights, *arrays)
            optimizer.update(grads)
            if variant.fetched:
                found.append(loss)
        found += [work.by_hand(np, weights, *arrays)[0] for arrays in given]
    return found


def error_of(found: list[Any], wanted: list[Any]) -> float:
    """The greatest difference, in units of the root mean square of the right answers."""
    assert len(found) == len(wanted), f"{len(found)} answers, not {len(wanted)}"
    worst = 0.0
    for one, right in zip(found, wanted, strict=True):
        one, right = np.asarray(one, np.float64), np.asarray(right)
        assert one.shape == right.shape, f"an answer of shape {one.shape}, not {right.shape}"
        scale = np.sqrt(np.mean(np.square(right)))
        difference = np.abs(one - right).max() / scale
        worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    return worst
