"""`tf.contrib.training.HParams`: settings of a model by name, each of a type that stays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from numbers import Integral, Number
from typing import Any, Final

from tfsession.core.exports import export

_TRAINING: Final = ("contrib.training", "contrib.training.python.training.hparam")
# One `name=value`, `name=[value,value]` or `name[index]=value`, and the comma behind it.
_ASSIGNMENT: Final = re.compile(
    r"(?P<name>[a-zA-Z][\w.]*)(\[\s*(?P<index>\d+)\s*\])?\s*=\s*"
    r"((?P<one>[^,\[]*)|\[(?P<many>[^\]]*)\])($|,\s*)"
)


def _names(name: str) -> list[str]:
    return [f"{module}.{name}" for module in _TRAINING]


@export(*_names("HParams"))
class HParams:
    """Hyperparameters as attributes: `HParams(rate=0.1, units=[3, 4])`.

    The first value of each fixes its type, and whether it is a list; later values are cast to it.

    Args:
        hparam_def: not used, must be None.
        model_structure: anything; `get_model_structure` gives it back.
        kwargs: the names and values, as for `add_hparam`.
    """

    def __init__(self, hparam_def: Any = None, model_structure: Any = None, **kwargs: Any) -> None:
        if hparam_def is not None:
            raise ValueError(
                "hparam_def: messages of hyperparameters are not read; give them by name, or to "
                "parse_json"
            )
        self._hparam_types: dict[str, tuple[type, bool]] = {}
        self._model_structure = model_structure
        for name, value in kwargs.items():
            self.add_hparam(name, value)

    def add_hparam(self, name: str, value: Any) -> None:
        """Add a hyperparameter of the type of `value`.

        Raises:
            ValueError: there is an attribute of this name, or `value` is an empty list.
        """
        if getattr(self, name, None) is not None:
            raise ValueError(f"Hyperparameter name is reserved: {name}")
        is_list = isinstance(value, list | tuple)
        if is_list and not value:
            raise ValueError(f"Multi-valued hyperparameters cannot be empty: {name}")
        self._hparam_types[name] = (type(value[0] if is_list else value), is_list)
        setattr(self, name, value)

    def set_hparam(self, name: str, value: Any) -> None:
        """Set a hyperparameter that is there already.

        Raises:
            KeyError: there is none of this name.
            ValueError: `value` does not have its type, or is a list where it is none.
        """
        setattr(self, name, self._fitting(name, value))

    def _fitting(self, name: str, value: Any) -> Any:
        kind, is_list = self._hparam_types[name]
        if isinstance(value, list):
            if not is_list:
                raise ValueError(f"Must not pass a list for single-valued parameter: {name}")
            return [_cast(name, kind, v) for v in value]
        if is_list:
            raise ValueError(f"Must pass a list for multi-valued parameter: {name}.")
        return _cast(name, kind, value)

    def del_hparam(self, name: str) -> None:
        """Remove a hyperparameter, if it is there."""
        if hasattr(self, name):
            delattr(self, name)
            del self._hparam_types[name]

    def parse(self, values: str) -> HParams:
        """Set hyperparameters from a text such as `"rate=0.5,units=[7,8],name=x"`; gives itself.

        Raises:
            ValueError: the text is malformed, names an unknown one, or one twice.
        """
        types = {name: kind for name, (kind, _) in self._hparam_types.items()}
        return self.override_from_dict(parse_values(values, types))

    def override_from_dict(self, values_dict: Mapping[str, Any]) -> HParams:
        """Set hyperparameters from a dict, all or none; gives itself.

        Errors are those of `set_hparam`.
        """
        fitting = {name: self._fitting(name, value) for name, value in values_dict.items()}
        for name, value in fitting.items():
            setattr(self, name, value)
        return self

    def set_model_structure(self, model_structure: Any) -> None:
        """Keep what `get_model_structure` will give."""
        self._model_structure = model_structure

    def get_model_structure(self) -> Any:
        """What was set, None at first."""
        return self._model_structure

    def to_json(self, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        """The values as JSON, without functions; arguments are those of `json.dumps`."""
        kept = _without_callables(self.values())
        return json.dumps(kept, indent=indent, separators=separators, sort_keys=sort_keys)

    def parse_json(self, values_json: str) -> HParams:
        """Set hyperparameters from the text of a JSON object; gives itself."""
        return self.override_from_dict(json.loads(values_json))

    def values(self) -> dict[str, Any]:
        """All by name."""
        return {name: getattr(self, name) for name in self._hparam_types}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a hyperparameter, `default` where there is none of that name.

        Raises:
            ValueError: there is one, and `default` does not have its type.
        """
        if key not in self._hparam_types:
            return default
        if default is not None:
            kind, is_list = self._hparam_types[key]
            shown = f"list<{kind}>" if is_list else str(kind)
            text = f"Hparam '{key}' of type '{shown}' is incompatible with default={default}"
            if is_list != isinstance(default, list):
                raise ValueError(text)
            try:
                for value in default if is_list else [default]:
                    _cast(key, kind, value)
            except ValueError as error:
                raise ValueError(f"{text}. {error}") from None
        return getattr(self, key)

    def __contains__(self, key: str) -> bool:
        return key in self._hparam_types

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.values().items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


def _cast(name: str, kind: type, value: Any) -> Any:
    """`value` as a `kind`: no number from text or text from a number, no int from a float."""
    if kind is type(None):
        return value
    fits = issubclass(kind, bool) == isinstance(value, bool)
    for family in (str | bytes, Integral, Number):
        fits = fits and (not issubclass(kind, family) or isinstance(value, family))
    if not fits:
        raise ValueError(f"Could not cast hparam '{name}' of type '{kind}' from value {value!r}")
    return kind(value)


def _without_callables(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_callables(v) for k, v in value.items() if not callable(v)}
    if isinstance(value, list):
        return [_without_callables(v) for v in value if not callable(v)]
    return value


def _as_bool(text: str) -> bool:
    if text.lower() in ("true", "false") and text[1:].islower():
        return text.lower() == "true"
    return bool(int(text))


@export(*_names("parse_values"))
def parse_values(
    values: str, type_map: Mapping[str, type], ignore_unknown: bool = False
) -> dict[str, Any]:
    """The values in a text such as `"rate=0.5,units=[7,8],at[3]=1"`: `at` becomes `{3: 1}`.

    Args:
        values: assignments with commas between them.
        type_map: the type of each name.
        ignore_unknown: leave out names that have no type, instead of raising.

    Raises:
        ValueError: the text is malformed, a value does not have its type, a name has no type or
            is set twice.
    """
    found: dict[str, Any] = {}
    position = 0
    while position < len(values):
        match = _ASSIGNMENT.match(values, position)
        if match is None:
            raise ValueError(f"Malformed hyperparameter value: {values[position:]}")
        position = match.end()
        name = match["name"]
        if name in type_map:
            _add(found, match, type_map[name], values)
        elif not ignore_unknown:
            raise ValueError(f"Unknown hyperparameter type for {name}")
    return found


def _add(found: dict[str, Any], match: re.Match[str], kind: type, values: str) -> None:
    """Put one assignment among those found."""
    name, index, one, many = match.group("name", "index", "one", "many")
    text = one if many is None else many
    parse: Callable[[str], Any] = {bool: _as_bool, type(None): str}.get(kind, kind)
    failed = ValueError(
        f"Could not parse hparam '{name}' of type '{kind.__name__}' with value '{text}' in {values}"
    )
    reused = ValueError(f"Multiple assignments to variable '{name}' in {values}")
    try:
        if many is not None:
            value: Any = [parse(item) for item in re.split(r"[ ,]", many) if item]
        else:
            value = parse(one)
    except ValueError:
        raise failed from None
    if index is None:
        if name in found:
            raise reused
        found[name] = value
    elif many is not None:
        raise failed
    else:
        by_index = found.setdefault(name, {})
        if not isinstance(by_index, dict) or int(index) in by_index:
            raise reused
        by_index[int(index)] = value
