"""Which of TensorFlow's names a source file uses, read from its syntax tree: nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from tfsession.imports.listing import is_known_module, present
from tfsession.imports.module_names import plain

__all__ = ["Use", "uses"]

_ROOT = "tensorflow"
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# What a name stands for in a scope: "" or a dotted name below tensorflow; None for anything else.
_Scope = dict[str, str | None]


class Use(NamedTuple):
    """A place that names `tf.<symbol>`."""

    line: int
    symbol: str


def uses(source: str | bytes) -> list[Use]:
    """All uses, by line.

    Raises:
        SyntaxError: the source is no Python of this interpreter's version.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a program's own, about escapes and comparisons
        try:
            tree = ast.parse(source)
        except ValueError as error:  # null bytes
            raise SyntaxError(str(error)) from None
    reader = _Reader()
    reader.visit(tree)
    return sorted(set(reader.found))


class _Reader(ast.NodeVisitor):
    """Follows names through imports and plain assignments, scope by scope."""

    def __init__(self) -> None:
        self.found: list[Use] = []
        self._scopes: list[_Scope] = [{}]

    # --- imports ---

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root, _, dotted = alias.name.partition(".")
            if root == _ROOT:
                self._note(node.lineno, dotted)
                self._bind(alias.asname or root, dotted if alias.asname else "")
            else:
                self._bind(alias.asname or root, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        root, _, module = (node.module or "").partition(".")
        ours = root == _ROOT and not node.level
        for alias in node.names:
            dotted = f"{module}.{alias.name}".lstrip(".") if ours else None
            if ours and alias.name == "*":
                self._note(node.lineno, module)
                continue
            if dotted is not None and not alias.name.startswith("__"):
                self._note(node.lineno, dotted)
            self._bind(alias.asname or alias.name, dotted)

    # --- scopes ---

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)
        if not isinstance(node, ast.Lambda):
            for decorator in node.decorator_list:
                self.visit(decorator)
            self._bind(node.name, None)
        arguments = (
            *(*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs),
            *filter(None, (node.args.vararg, node.args.kwarg)),
        )
        for note in (a.annotation for a in arguments if a.annotation is not None):
            self.visit(note)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        scope: _Scope = dict.fromkeys(argument.arg for argument in arguments)
        self._scopes.append(scope | dict.fromkeys(_stored(body)))
        for statement in body:
            self.visit(statement)
        self._scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        # Its names are attributes; what is below must not take one for a module's.
        self._scopes.append({})
        self.generic_visit(node)
        self._scopes.pop()
        self._bind(node.name, None)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        dotted = self._dotted(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, dotted)
            else:
                self.visit(target)

    def _bind(self, name: str, dotted: str | None) -> None:
        self._scopes[-1][name] = dotted

    # --- uses ---

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self._dotted(node)
        if dotted is None:
            self.visit(node.value)
        elif isinstance(node.ctx, ast.Load):
            self._note(node.end_lineno or node.lineno, dotted)

    def _dotted(self, node: ast.expr) -> str | None:
        """The dotted name that an expression of names and dots stands for; "" is tensorflow."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        base = next((scope[node.id] for scope in reversed(self._scopes) if node.id in scope), None)
        return None if base is None else ".".join(filter(None, (base, *parts)))

    def _note(self, line: int, dotted: str) -> None:
        symbol = _symbol(dotted)
        if symbol and not symbol.rpartition(".")[2].startswith("__"):
            self.found.append(Use(line, symbol))


def _stored(body: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
    """The names that a function's body binds, other than by import, and without its functions'."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, _FUNCTIONS | ast.ClassDef):
            stack += ast.iter_child_nodes(node)


def _symbol(dotted: str) -> str:
    """The public name that a chain begins with; what follows are members of its object."""
    parts = plain(dotted).split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        ends = present(name) is not None or not is_known_module(name)
        if ends and (present(name) is not None or parts[count - 1][:1].isupper()):
            return name
    return plain(dotted)
