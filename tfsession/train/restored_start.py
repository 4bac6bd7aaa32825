"""Variables that begin with the values of a checkpoint instead of their own initial ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import create_op
from tfsession.graph.graph import get_default_graph
from tfsession.ops.saveable import saveables_of
from tfsession.ops.variable_store import variable_store
from tfsession.ops.variables import Variable
from tfsession.train.checkpoint_reader import checkpoint_name, load_checkpoint


@export("train.init_from_checkpoint")
def init_from_checkpoint(ckpt_dir_or_file: Any, assignment_map: Any) -> None:
    """Let the initializers of variables restore them from a checkpoint.

    Args:
        ckpt_dir_or_file: the checkpoint, or a directory, where the latest one counts.
        assignment_map: from what the checkpoint holds to what it is for, a dict or pairs. A name
            stands for a variable, a list of slices or the name of a variable; `"scope/"` stands for
            all variables of a scope, `"scope/"` or `"/"`, under their names within it.

    Raises:
        NotFoundError: there is no such checkpoint.
        ValueError: the checkpoint lacks a tensor, or has it in another shape.
    """
    shapes = load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map()
    prefix = checkpoint_name(ckpt_dir_or_file)
    known = variable_store(get_default_graph()).variables
    pairs = assignment_map.items() if isinstance(assignment_map, Mapping) else assignment_map
    for tensor_name, target in sorted(pairs, key=lambda pair: str(pair[0])):
        found = _variables(target, known)
        is_scope = found is None
        pieces = _in_scope(tensor_name, target, known) if is_scope else {tensor_name: found}
        for name, variables in pieces.items():
            _check(name, variables, shapes, ckpt_dir_or_file)
            for variable in variables:
                _initialize_from(prefix, name, variable)


def _variables(target: Any, known: Mapping[str, Any]) -> list[Any] | None:
    """The variable that is meant, or its slices; None where a scope is."""
    if isinstance(target, Variable):
        return [target]
    if hasattr(target, "_get_variable_list"):
        return list(target._get_variable_list())
    if isinstance(target, list | tuple) and all(isinstance(one, Variable) for one in target):
        return list(target)
    if not isinstance(target, str):
        raise TypeError(f"Expected a variable or the name of one, got {target!r}")
    if target in known:
        return [known[target]]
    slices = []
    while f"{target}/part_{len(slices)}" in known:
        slices.append(known[f"{target}/part_{len(slices)}"])
    return slices or None


def _in_scope(tensor_name: str, target: str, known: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The variables of a scope by the names of their tensors in the checkpoint."""
    scope = target.rpartition("/")[0]
    if not tensor_name.endswith("/"):
        raise ValueError(
            f"Assignment map with scope only name {scope} should map to scope only {tensor_name}. "
            "Should be 'scope/': 'other_scope/'."
        )
    prefix = f"{scope}/" if scope else ""
    names = {name.split("/part_")[0] for name in known if name.startswith(prefix)}
    source = "" if tensor_name == "/" else tensor_name
    return {
        source + name.removeprefix(prefix): _variables(name, known) or [] for name in sorted(names)
    }


def _check(name: str, variables: list[Any], shapes: dict[str, list[int]], checkpoint: Any) -> None:
    if name not in shapes:
        raise ValueError(f"Tensor {name} is not found in {checkpoint} checkpoint {shapes}")
    for variable in variables:
        info = variable._save_slice_info
        shape = variable.shape if info is None else list(info.full_shape)
        if (info is None and not shape.is_compatible_with(shapes[name])) or (
            info is not None and shape != shapes[name]
        ):
            raise ValueError(
                f"Shape of variable {variable.name} ({shape}) doesn't match with shape of tensor "
                f"{name} ({shapes[name]}) from checkpoint reader."
            )


def _initialize_from(prefix: str, name: str, variable: Any) -> None:
    """Give a variable another initializer, and another initial value."""
    graph = get_default_graph()
    info = variable._save_slice_info
    spec = "" if info is None else info.spec
    with graph.device(variable.device), graph.device("/cpu:0"):
        (restored,) = create_op(
            "RestoreV2",
            [prefix, [name], [spec]],
            {"dtypes": [variable.dtype.base_dtype]},
            "checkpoint_initializer",
        )
        restored.set_shape(variable.shape)
        (saveable,) = saveables_of({name: variable if info is None else [variable]})
        assigned = saveable.restore([restored], None)
    variable._initializer_op = assigned.op if hasattr(assigned, "op") else assigned
    variable._initial_value = restored
