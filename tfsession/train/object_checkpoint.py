"""Checkpoints of objects, as `tf.train.Checkpoint` of TensorFlow 2 writes them.

Their keys are the ways from object to object, `model/dense/kernel/.ATTRIBUTES/VARIABLE_VALUE`. A
message in the checkpoint tells for each key the name that the variable had.
"""

from __future__ import annotations

from typing import Any, Final

from tfsession.core import protos
from tfsession.core.errors import DataLossError, NotFoundError
from tfsession.ops.saveable import SaveableObject, all_saveable_objects, saveables_by_name
from tfsession.train.checkpoint_reader import load_checkpoint

_GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"


def object_graph_key_mapping(checkpoint_path: Any) -> dict[str, str]:
    """The keys of a checkpoint of objects by the names of the variables that were saved.

    Raises:
        NotFoundError: there is no such checkpoint, or it is one of variables by name.
        DataLossError: what tells the names is damaged.
    """
    text = load_checkpoint(checkpoint_path).get_tensor(_GRAPH_KEY)
    try:
        message = protos.TrackableObjectGraph.FromString(text)
    except (protos.DecodeError, TypeError) as error:
        raise DataLossError(
            None, None, f"{checkpoint_path} tells no names of variables: {error}"
        ) from None
    attributes = [attribute for node in message.nodes for attribute in node.attributes]
    return {attribute.full_name: attribute.checkpoint_key for attribute in attributes}


def by_key(var_list: Any, names_to_keys: dict[str, str]) -> dict[str, Any]:
    """What to restore by the keys of a checkpoint of objects.

    Args:
        var_list: variables and other savables in a list or by name; all of them when None.
        names_to_keys: of the checkpoint.

    Raises:
        NotFoundError: the checkpoint has no variable of a name.
    """
    given = all_saveable_objects() if var_list is None else var_list
    named = given if isinstance(given, dict) else saveables_by_name(given)
    specs = {
        name: [spec.name for spec in item.specs] if isinstance(item, SaveableObject) else [name]
        for name, item in named.items()
    }
    _check_names({one for names in specs.values() for one in names}, set(names_to_keys))
    found: dict[str, Any] = {}
    for name, item in named.items():
        if isinstance(item, SaveableObject):
            for spec in item.specs:
                spec.name = names_to_keys[spec.name]
            found[item.name] = item
        else:
            found[names_to_keys[name]] = item
    return found


def _check_names(wanted: set[str], saved: set[str]) -> None:
    if wanted <= saved:
        return
    raise NotFoundError(
        None,
        None,
        f"Existing variables not in the checkpoint: {', '.join(sorted(wanted - saved))}\n\n"
        "Variables names when this checkpoint was written which don't exist now: "
        f"{', '.join(sorted(saved - wanted))}\n\n({len(wanted & saved)} variable name(s) did "
        "match)\n\nCould not find some variables in the checkpoint (see names above). It is one "
        "of objects, as tf.train.Checkpoint writes it, and holds variables by the names that they "
        "had. Saver(var_list=...) may leave out what it lacks, or be a dictionary of variables by "
        "their names there.",
    )
