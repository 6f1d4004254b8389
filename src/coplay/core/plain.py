"""Flatten dataclasses of plain values, and restore them with every type checked.

The flat form is for a carrier that must not pickle and cannot be trusted.

A field is a bool, an int, a float, a text, a choice of texts (``Literal``), a sequence of one of
these, a mapping from texts to one of these, or one of them or None. Flattened, a sequence is a
list, a mapping two lists of equal length, and None is absent: that is what the records of Flower,
JSON and TOML can all hold.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from coplay.core.errors import MessageError

Scalar = bool | int | float | str
Plain = Scalar | list[bool] | list[int] | list[float] | list[str]

T = TypeVar("T")

_LARGEST = sys.float_info.max
_KEYS = ".keys"
_VALUES = ".values"


def flatten(record: Any, without: Collection[str] = ()) -> dict[str, Plain]:
    """Turn a dataclass of plain values into scalars and lists of scalars.

    Args:
        record: An instance whose fields are as the module describes.
        without: Names of fields to leave out.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Draw:
        ...     steps: int
        ...     counts: Mapping[str, int]
        >>> flatten(Draw(3, {"north": 5}))
        {'steps': 3, 'counts.keys': ['north'], 'counts.values': [5]}
        >>> restored(Draw, flatten(Draw(3, {"north": 5})), "a message of 'south'")
        Draw(steps=3, counts={'north': 5})
    """
    flat: dict[str, Plain] = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if value is None or item.name in without:
            continue
        if isinstance(value, Mapping):
            flat[item.name + _KEYS] = list(value)
            flat[item.name + _VALUES] = list(value.values())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat[item.name] = list(value)
        else:
            flat[item.name] = value
    return flat


def restored(
    cls: type[T],
    values: Mapping[str, object],
    origin: str,
    given: Mapping[str, object] | None = None,
) -> T:
    """Build a dataclass from the output of :func:`flatten`, trusting nothing about the values.

    Args:
        cls: The dataclass.
        values: Scalars and lists of scalars by name.
        origin: Where they come from, for the error.
        given: Values of fields that are not read from ``values``.

    Raises:
        MessageError: Values are missing, unknown, of another type or not finite; the message lists
            all faults.
    """
    faults: list[str] = []
    arguments: dict[str, Any] = dict(given or {})
    unread = dict(values)
    hints = _hints(cls)  # type: ignore[arg-type]
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name in arguments:
            continue
        kind, optional = _without_none(hints[item.name])
        value, is_present = _pop_value(unread, item.name, kind)
        if is_present:
            expected = _fault(kind, value)
            if expected:
                faults.append(f"{item.name}: expected {expected}, got {shortened(value)}")
            else:
                arguments[item.name] = _converted(kind, value)
        elif optional:
            arguments[item.name] = None
        else:
            faults.append(f"{item.name} is missing")
    faults += [f"{name!r} is unknown here" for name in unread]
    if faults:
        raise MessageError(f"{origin} is no valid {cls.__name__}: {'; '.join(faults)}")
    return cls(**arguments)


def field_faults(record: Any) -> list[str]:
    """List the fields of a dataclass of plain values whose values are of another type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Draw:
        ...     steps: int
        >>> field_faults(Draw("many"))
        ["steps: expected a whole number, got 'many'"]
    """
    faults = []
    for name, kind, optional in _field_kinds(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name, None)
        if (type(value) is kind and kind in (int, bool, str)) or (value is None and optional):
            continue
        plain = value
        if _is_mapping(kind) and type(value) in (dict, types.MappingProxyType):
            assert isinstance(value, Mapping)
            plain = list(value), list(value.values())
        expected = _fault(kind, plain)
        if expected:
            faults.append(f"{name}: expected {expected}, got {shortened(value)}")
    return faults


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; looking them up is slow."""
    return get_type_hints(cls)


@lru_cache(maxsize=256)
def _field_kinds(cls: type) -> tuple[tuple[str, Any, bool], ...]:
    """Return name and type of each field of a dataclass, and whether it may be None."""
    hints = _hints(cls)
    return tuple((item.name, *_without_none(hints[item.name])) for item in fields(cls))


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return a field's type without None, and whether the field may be None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if len(kinds) != 1:
        raise TypeError(f"a field of plain values has one type, or that and None, not {hint}")
    return kinds[0], True


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple, Sequence)


def _pop_value(values: dict[str, object], name: str, kind: Any) -> tuple[object, bool]:
    """Remove a field's value from the values, and say whether it was present."""
    if not _is_mapping(kind):
        is_present = name in values
        return values.pop(name, None), is_present
    keys = values.pop(name + _KEYS, None)
    entries = values.pop(name + _VALUES, None)
    return (keys, entries), keys is not None and entries is not None


def _fault(kind: Any, value: Any) -> str:
    """Describe what a value should have been; the text is empty if the value is right."""
    if _is_mapping(kind):
        if not isinstance(value, tuple) or len(value) != 2:
            return f"texts and {_expected(get_args(kind)[1])} each"
        return _mapping_fault(get_args(kind)[1], *value)
    if _is_sequence(kind):
        inner = get_args(kind)[0]
        if type(value) not in (list, tuple) or not _all_scalars(inner, value):
            return f"a list of {_expected(inner)} each"
        return ""
    return _scalar_fault(kind, value)


def _mapping_fault(kind: Any, keys: object, entries: object) -> str:
    """Describe what the two lists of a mapping should have been; ``kind`` is that of its values."""
    if not isinstance(keys, list | tuple) or not isinstance(entries, list | tuple):
        return "names, each once, and as many values"
    # compared by their texts, because what a stranger sent as a key may not be hashable
    is_repeated = len(set(map(repr, keys))) != len(keys)
    if len(keys) != len(entries) or is_repeated:
        return "names, each once, and as many values"
    if not _all_scalars(str, keys) or not _all_scalars(kind, entries):
        return f"texts and {_expected(kind)} each"
    return ""


def _all_scalars(kind: Any, values: Sequence[object]) -> bool:
    """Whether every value is of the kind."""
    return not any(_scalar_fault(kind, value) for value in values)


def _scalar_fault(kind: Any, value: object) -> str:
    """Describe what a single value should have been; the text is empty if the value is right."""
    if get_origin(kind) is Literal:
        is_right = type(value) is str and value in get_args(kind)
    elif kind is float:
        # a carrier may write 1.0 as 1; a whole number may be too large for a float
        # and a subclass may lie where it is compared
        is_number = type(value) in (int, float)
        is_right = is_number and -_LARGEST <= value <= _LARGEST  # type: ignore[operator]
    elif kind in (int, bool, str):
        # subclasses may do anything when they are compared or written
        is_right = type(value) is kind
    else:
        raise TypeError(f"{kind} is no plain value")
    return "" if is_right else _expected(kind)


def _expected(kind: Any) -> str:
    """Describe a kind of single value in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    names = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
    return names[kind]


def _converted(kind: Any, value: Any) -> Any:
    """Convert a checked value to what its field holds."""
    if _is_mapping(kind):
        keys, entries = value
        inner = get_args(kind)[1]
        return {key: _converted(inner, entry) for key, entry in zip(keys, entries, strict=True)}
    if _is_sequence(kind):
        inner = get_args(kind)[0]
        entries = [_converted(inner, entry) for entry in value]
        return entries if get_origin(kind) is list else tuple(entries)
    return float(value) if kind is float else value


def shortened(value: object) -> str:
    """Write a value for an error, cut to 60 characters; its type alone if it cannot be written.

    Example:
        >>> shortened("north"), shortened(object())
        ("'north'", 'an object')
    """
    if type(value) not in (bool, int, float, str, list, tuple, dict, bytes, type(None)):
        return f"an {type(value).__name__}"[:60]
    if isinstance(value, str):
        value = value[:61]
    try:
        text = repr(value)
    except Exception:  # something foreign lies in it
        return type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
