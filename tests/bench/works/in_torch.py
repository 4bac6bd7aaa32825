"""The works in PyTorch, eagerly, with the layers and optimizers that it brings.

Arguments are NumPy's and answers become NumPy's, as with a session. Images keep their layout: they
are views with channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from works import dense, images, loops, small, sparse
from works.row import Step

NAME = "PyTorch"


def _arrays(answer: Any) -> Any:
    if isinstance(answer, (list, tuple)):
        return [_arrays(part) for part in answer]
    return answer.detach().numpy()


def _given(torch: Any, values: tuple[Any, ...]) -> list[Any]:
    return [torch.from_numpy(value) for value in values]


def _forward(torch: Any, function: Callable[..., Any], *values: Any) -> Step:
    def step() -> Any:
        with torch.inference_mode():
            return _arrays(function(*_given(torch, values)))

    return step


def _parameters(torch: Any, arrays: list[Any]) -> list[Any]:
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def _training(torch: Any, loss: Callable[..., Any], optimizer: Any, *values: Any) -> Step:
    def step() -> Any:
        optimizer.zero_grad()
        found = loss(*_given(torch, values))
        found.backward()
        optimizer.step()
        return _arrays(found)

    return step


@small.fed_multiply.beside(NAME)
def fed_multiply(torch: Any, callable_: bool) -> Step:
    return lambda: (torch.tensor(2.0) * torch.tensor(3.0)).numpy()


@small.chain.beside(NAME)
def chain(torch: Any, length: int) -> Step:
    def function(x: Any) -> Any:
        y = x
        for index in range(length // 2):
            y = torch.tanh(y) if index % 50 == 0 else y * x
            y = y + x
        return y

    return _forward(torch, function, small.TEN)


@small.cond.beside(NAME)
def cond(torch: Any) -> Step:
    def function(x: Any, p: Any) -> Any:
        return torch.tanh(x * 2.0) if p else torch.exp(x - 1.0)

    return _forward(torch, function, small.TEN, np.array(True))


def mlp(torch: Any, weights: list[Any], x: Any) -> Any:
    for index in range(0, len(weights), 2):
        x = torch.addmm(weights[index + 1], x, weights[index])
        x = x if index + 2 == len(weights) else torch.relu(x)
    return x


def _with_biases(matrices: list[Any]) -> list[Any]:
    return [a for m in matrices for a in (m, np.zeros(m.shape[1], np.float32))]


def cross_entropy(torch: Any, logits: Any, labels: Any) -> Any:
    return torch.nn.functional.cross_entropy(logits, labels.long())


@dense.mlp_inference.beside(NAME)
def mlp_inference(torch: Any, batch: int) -> Step:
    matrices, data, _ = dense.layers(batch)
    weights = _parameters(torch, _with_biases(matrices))
    return _forward(torch, lambda x: torch.softmax(mlp(torch, weights, x), 1), data)


@dense.mlp_training.beside(NAME)
def mlp_training(torch: Any, batch: int) -> Step:
    matrices, data, target = dense.layers(batch)
    weights = _parameters(torch, _with_biases(matrices))
    adam = torch.optim.Adam(weights, 1e-4)
    return _training(
        torch,
        lambda x, labels: cross_entropy(torch, mlp(torch, weights, x), labels),
        adam,
        data,
        target,
    )


@dense.matmul.beside(NAME)
def matmul(torch: Any, size: int) -> Step:
    return _forward(torch, torch.mm, *dense.normal(2, size, size, deviation=1 / 32))


@dense.softmax.beside(NAME)
def softmax(torch: Any, rows: int, classes: int) -> Step:
    return _forward(torch, lambda x: torch.softmax(x, 1), dense.normal(rows, classes, deviation=3))


@dense.elementwise.beside(NAME)
def elementwise(torch: Any, size: int, whole: bool) -> Step:
    def function(x: Any) -> Any:
        y = torch.relu(torch.tanh(x * 1.5 + 0.5)) - 0.25
        y = torch.exp(-torch.square(y))
        y = torch.sqrt(torch.clamp_min(y / (torch.sigmoid(x) + 1.0), 0.01))
        return y if whole else y[:: size // 100]

    return _forward(torch, function, np.linspace(-2, 2, size, dtype=np.float32))


@dense.reduction.beside(NAME)
def reduction(torch: Any, size: int) -> Step:
    value = np.linspace(-1, 1, size, dtype=np.float32)
    return _forward(torch, lambda x: (x * x + 1.0).sum(), value)


def _normalized(torch: Any, x: Any, scale: Any, offset: Any) -> Any:
    return torch.nn.functional.layer_norm(x, scale.shape, scale, offset, 1e-5)


@dense.layer_norm.beside(NAME)
def layer_norm(torch: Any, rows: int, width: int, back: bool) -> Step:
    value = dense.normal(rows, width, mean=1, deviation=2)
    scale, offset = _parameters(torch, [np.ones(width, np.float32), np.zeros(width, np.float32)])
    if not back:
        return _forward(torch, lambda x: _normalized(torch, x, scale, offset), value)

    def step() -> Any:
        x = torch.from_numpy(value).requires_grad_()
        total = (_normalized(torch, x, scale, offset) ** 3).sum()
        return _arrays([g.abs().mean() for g in torch.autograd.grad(total, (x, scale, offset))])

    return step


def block(torch: Any, weights: list[Any], x: Any, heads: int) -> Any:
    functions, (_, length, width) = torch.nn.functional, x.shape
    scale, offset, kernel, mixer, scale2, offset2, up, up_bias, down, down_bias = weights
    three = _normalized(torch, x, scale, offset) @ kernel
    q, k, v = three.view(-1, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    mixed = functions.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = x + mixed.transpose(1, 2).reshape(x.shape) @ mixer
    inner = _normalized(torch, y, scale2, offset2) @ up + up_bias
    return y + functions.gelu(inner, approximate="tanh") @ down + down_bias


@dense.transformer.beside(NAME)
def transformer(torch: Any, batch: int, length: int, width: int, heads: int, trains: bool) -> Step:
    value, matrices = dense.block(batch, length, width)
    weights = _parameters(torch, dense.block_weights(width, matrices))
    if not trains:
        return _forward(torch, lambda x: block(torch, weights, x, heads), value)

    def loss(x: Any) -> Any:
        return (block(torch, weights, x, heads) - x.flip(1)).square().mean()

    return _training(torch, loss, torch.optim.Adam(weights, 1e-4), value)


def _view(images_: Any) -> Any:
    """Channels second in order, and last in memory."""
    return images_.permute(0, 3, 1, 2)


def channels_last(torch: Any, array: Any) -> Any:
    kernel = torch.from_numpy(array).permute(3, 2, 0, 1)
    return kernel.contiguous(memory_format=torch.channels_last)


def _padding(size: int, extent: int, stride: int) -> int:
    return max((-(-size // stride) - 1) * stride + extent - size, 0)


def conv(torch: Any, x: Any, kernel: Any, stride: int = 1) -> Any:
    total, functions = _padding(x.shape[2], kernel.shape[2], stride), torch.nn.functional
    if total % 2:
        x = functions.pad(x, (total // 2, total - total // 2) * 2)
        total = 0
    return functions.conv2d(x, kernel, stride=stride, padding=total // 2)


def max_pool(torch: Any, x: Any, size: int) -> Any:
    total = _padding(x.shape[2], size, 2)
    # What is beyond the end is left out by the rounding up.
    return torch.nn.functional.max_pool2d(x, size, 2, padding=total // 2, ceil_mode=total % 2 > 0)


@images.convolution.beside(NAME)
def convolution(torch: Any, shape: tuple[int, ...], extent: int, filters: int, back: bool) -> Step:
    given = dense.normal(*shape)
    array = dense.normal(extent, extent, shape[-1], filters, deviation=0.05)
    kernel = channels_last(torch, array).requires_grad_(back)
    if not back:
        return _forward(torch, lambda x: [conv(torch, _view(x), kernel).mean()], given)

    def step() -> Any:
        x = _view(torch.from_numpy(given)).requires_grad_()
        y = conv(torch, x, kernel)
        grads = torch.autograd.grad((y * y).sum(), (x, kernel))
        return _arrays([y.mean(), *(grad.mean() for grad in grads)])

    return step


@images.pools.beside(NAME)
def pools(torch: Any, shape: tuple[int, ...], back: bool) -> Step:
    given = dense.normal(*shape)

    def pooled(x: Any) -> Any:
        return max_pool(torch, max_pool(torch, x, 2), 3)

    def step() -> Any:
        x = _view(torch.from_numpy(given)).requires_grad_()
        return _arrays((torch.autograd.grad(pooled(x).sum(), x)[0] * x).square().mean())

    return step if back else _forward(torch, lambda x: pooled(_view(x)).square().mean(), given)


@images.batch_norm.beside(NAME)
def batch_norm(torch: Any, batch: int, size: int, depth: int) -> Step:
    given, normalized = dense.normal(batch, size, size, depth), torch.nn.functional.batch_norm
    scale, offset = _parameters(torch, [np.ones(depth, np.float32)] * 2)

    def step() -> Any:
        x = _view(torch.from_numpy(given)).requires_grad_()
        y = normalized(x, None, None, scale, offset, training=True, eps=0.001)
        grad = torch.autograd.grad((y * y * y).sum(), (x, scale, offset))[0]
        return _arrays([y.mean(), grad.square().mean()])

    return step


@images.resize.beside(NAME)
def resize(torch: Any, shape: tuple[int, ...], size: int) -> Step:
    def function(x: Any) -> Any:
        y = torch.nn.functional.interpolate(
            _view(x), (size, size), mode="bilinear", align_corners=True
        )
        return y[:, :, :: size // 8, :: size // 8].permute(0, 2, 3, 1)

    return _forward(torch, function, dense.normal(*shape))


def digits_logits(torch: Any, weights: list[Any], x: Any) -> Any:
    layer = x.view(-1, 1, 28, 28)
    for kernel, bias in (weights[:2], weights[2:4]):
        layer = torch.relu(conv(torch, layer, kernel) + bias[:, None, None])
        layer = max_pool(torch, layer, 2)
    return layer.permute(0, 2, 3, 1).reshape(len(x), -1) @ weights[4]


@images.cnn_training.beside(NAME)
def cnn_training(torch: Any, batch: int) -> Step:
    arrays, data, target = images.digits(batch)
    weights = [channels_last(torch, a) if a.ndim == 4 else torch.tensor(a) for a in arrays]
    for weight in weights:
        weight.requires_grad_()

    def loss(x: Any, labels: Any) -> Any:
        return cross_entropy(torch, digits_logits(torch, weights, x), labels)

    return _training(torch, loss, torch.optim.SGD(weights, 1e-4), data, target)


class _Layers:
    """With weights made once: they come in the same order each time."""

    def __init__(self, torch: Any):
        self.torch, self.relu = torch, torch.relu
        self.kept: list[Any] = []
        self.turn = 0

    def _keep(self, make: Callable[[], Any]) -> Any:
        if self.turn == len(self.kept):
            self.kept.append(make())
        self.turn += 1
        return self.kept[self.turn - 1]

    def conv(self, x: Any, kernel: Any, stride: int) -> Any:
        return conv(self.torch, x, self._keep(lambda: channels_last(self.torch, kernel)), stride)

    def norm(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        arrays = self._keep(lambda: _given(self.torch, (mean, variance, scale, offset)))
        return self.torch.nn.functional.batch_norm(x, *arrays, eps=0.001)

    def head(self, x: Any, matrix: Any) -> Any:
        matrix = self._keep(lambda: self.torch.from_numpy(matrix))
        self.turn = 0
        return self.torch.softmax(x.mean((2, 3)) @ matrix, 1)


@images.frozen.beside(NAME)
def frozen(torch: Any, batch: int, size: int, depth: int) -> Step:
    layers = _Layers(torch)

    def function(x: Any) -> Any:
        return images.residual_network(layers, _view(x), depth)

    return _forward(torch, function, dense.normal(batch, size, size, 3))


@loops.loop.beside(NAME)
def loop(torch: Any, turns: int) -> Step:
    def function(x: Any) -> Any:
        y = x
        for _ in range(turns):
            y = y * 0.5 + x
        return y

    return _forward(torch, function, loops.TEN)


@loops.loop_gradient.beside(NAME)
def loop_gradient(torch: Any, turns: int) -> Step:
    def step() -> Any:
        x = y = torch.linspace(1.0, 1.01, 10, requires_grad=True)
        for _ in range(turns):
            y = y * x * 0.99
        return _arrays(torch.autograd.grad(y.sum(), x)[0])

    return step


@loops.recurrent.beside(NAME)
def recurrent(torch: Any, steps: int, trains: bool) -> Step:
    w = torch.linspace(-0.2, 0.2, 48 * 32).reshape(48, 32).requires_grad_()
    value = np.linspace(-1, 1, steps * 128, dtype=np.float32).reshape(steps, 8, 16)

    def outputs(x: Any) -> Any:
        state, found = torch.zeros(8, 32), []
        for turn in x:
            state = torch.tanh(torch.cat([turn, state], 1) @ w)
            found.append(state)
        return torch.stack(found)

    def step() -> Any:
        loss = outputs(torch.from_numpy(value)).square().mean()
        return _arrays(torch.autograd.grad(loss, w)[0])

    return step if trains else _forward(torch, outputs, value)


def lstm(torch: Any, layer: Any, units: int) -> Any:
    """The weights of TensorFlow's cell, for a layer or a cell of PyTorch's."""
    kernel, bias = loops.cell_arrays("LSTM", units)
    order = np.concatenate([np.arange(units) + g * units for g in (0, 2, 1, 3)])
    kernel, bias = kernel[:, order].T, bias[order]
    bias[units : 2 * units] += 1.0
    arrays = kernel[:, :32], kernel[:, 32:], bias, bias * 0
    with torch.no_grad():
        for parameter, array in zip(layer.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array.copy()))
    list(layer.parameters())[3].requires_grad_(False)
    return layer


def _gru(torch: Any, units: int) -> Callable[[Any], Any]:
    """TensorFlow's cell: PyTorch's resets after the product."""
    gates, gate_bias, kernel, bias = _given(torch, tuple(loops.cell_arrays("GRU", units)))

    def last(x: Any) -> Any:
        h = torch.zeros(len(x), units)
        for turn in x.unbind(1):
            both = torch.sigmoid(torch.addmm(gate_bias, torch.cat([turn, h], 1), gates))
            r, u = both.chunk(2, 1)
            h = u * h + (1 - u) * torch.tanh(torch.addmm(bias, torch.cat([turn, r * h], 1), kernel))
        return h

    return last


@loops.cells.beside(NAME)
def cells(
    torch: Any, static: bool, kind: str, steps: int, batch: int, units: int, trains: bool
) -> Step:
    value = loops.sequences(steps, batch)
    if kind == "GRU":
        return _forward(torch, _gru(torch, units), value)
    make = torch.nn.LSTMCell(32, units) if static else torch.nn.LSTM(32, units, batch_first=True)
    layer = lstm(torch, make, units)

    def last(x: Any) -> Any:
        if not static:
            return layer(x)[0][:, -1]
        state = None
        for turn in x.unbind(1):
            state = layer(turn, state)
        return state[0]

    if not trains:
        return _forward(torch, last, value)
    weights = [p for p in layer.parameters() if p.requires_grad]
    descent = torch.optim.SGD(weights, 0.1)
    return _training(torch, lambda x: last(x).square().mean(), descent, value)


@loops.mapped.beside(NAME)
def mapped(torch: Any, rows: int) -> Step:
    value = np.linspace(-1, 1, rows * 10, dtype=np.float32).reshape(rows, 10)
    return _forward(torch, torch.vmap(lambda row: torch.tanh(row) * 2.0), value)


@sparse.embedding.beside(NAME)
def embedding(torch: Any, optimizer: str, sizes: tuple[int, int], words: int) -> Step:
    table, weights, given, target = sparse.vocabulary(sizes, words)
    parameters, optimizers = _parameters(torch, [table, weights]), torch.optim
    found = {
        "GradientDescent": lambda: optimizers.SGD(parameters, 0.01),
        "Adagrad": lambda: optimizers.Adagrad(parameters, 0.01, initial_accumulator_value=0.1),
        "Adam": lambda: optimizers.Adam(parameters, 0.01),
        "Momentum": lambda: optimizers.SGD(parameters, 0.01, momentum=0.9),
    }[optimizer]()
    # The other two either refuse sparse gradients, or keep ever longer ones.
    thin = optimizer in ("GradientDescent", "Adagrad")
    functions = torch.nn.functional

    def loss(ids: Any, labels: Any) -> Any:
        looked = functions.embedding(ids, parameters[0], sparse=thin)
        logits = (looked @ parameters[1])[:, 0]
        return functions.binary_cross_entropy_with_logits(logits, labels)

    return _training(torch, loss, found, given, target)


@sparse.gather.beside(NAME)
def gather(torch: Any, sizes: tuple[int, int], count: int) -> Step:
    given = sparse.indices(sizes[0], count)
    return _forward(
        torch,
        lambda x, ids: x.index_select(0, ids)[:: count // 20],
        sparse.vectors(sizes),
        given,
    )


@sparse.scatter.beside(NAME)
def scatter(torch: Any, name: str, sizes: tuple[int, int], count: int) -> Step:
    given, rows = sparse.updates(name, sizes, count)
    table = torch.from_numpy(sparse.vectors(sizes))

    def function(ids: Any, rows: Any) -> Any:
        into = torch.zeros(sizes) if name in ("scatter_nd", "unsorted_segment_sum") else table
        put = into.index_copy_ if name == "scatter_update" else into.index_add_
        return put(0, ids.long(), rows)[: sizes[0] // 5 : sizes[0] // 50].clone()

    return _forward(torch, function, given, rows)


def _matrix(torch: Any, pairs: Any, values: Any, shape: tuple[int, int]) -> Any:
    made = torch.sparse_coo_tensor(pairs.T.copy(), values, shape, is_coalesced=True)
    return made.to_sparse_csr()


@sparse.product.beside(NAME)
def product(torch: Any, nodes: int, edges: int, columns: int) -> Step:
    matrix = _matrix(torch, *sparse.adjacency(nodes, edges), (nodes, nodes))
    given = np.random.default_rng(1).normal(0, 1, (nodes, columns)).astype(np.float32)
    return _forward(torch, lambda x: matrix @ x, given)


@sparse.graph_convolutions.beside(NAME)
def graph_convolutions(
    torch: Any, nodes: int, edges: int, features: int, units: int, classes: int
) -> Step:
    matrix = _matrix(torch, *sparse.adjacency(nodes, edges), (nodes, nodes))
    words, counts, matrices, target = sparse.papers(nodes, features, units, classes)
    given = _matrix(torch, words, counts, (nodes, features))
    weights = _parameters(torch, matrices)

    def loss(labels: Any) -> Any:
        hidden = torch.relu(matrix @ (given @ weights[0]))
        return cross_entropy(torch, matrix @ (hidden @ weights[1]), labels)

    return _training(torch, loss, torch.optim.Adam(weights, 0.01), target)
