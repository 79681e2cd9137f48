"""The edge of the chain's modules: arguments out of JSON values, entries of a state as JSON values.

Everything follows from the records and layouts that a module declares, so that a command or an API serves a new module
without a line of its own. Bytes are hexadecimal text, records are objects by field name.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from market.errors import did_you_mean
from p2p.errors import InvalidArguments
from p2p.ledger.module import KEY_BYTES, ChainModule, Entry, Method
from p2p.ledger.state import State
from p2p.wire.codec import Record, decode, encode


def described(module: ChainModule) -> dict[str, Any]:
    """What a module offers, for listings: methods with roles and arguments, entries, refusal codes."""
    return {
        "name": module.name,
        "summary": module.summary,
        "methods": {
            name: {"about": m.about, "roles": sorted(m.roles), "args": fields_of(m.args)}
            for name, m in module.methods.items()
        },
        "entries": [entry.about for entry in module.entries],
        "codes": dict(module.codes),
    }


def fields_of(kind: type[Record]) -> dict[str, str]:
    """Name and type of each field of a record: int, str, hex, the name of a record, [T] for a list, T? or null."""
    return {name: _type_text(hint) for name, hint in _hints(kind).items()}


def args_from(method: Method, values: Mapping[str, Any]) -> Record:
    """Return the arguments of a method from JSON values.

    Raises:
        InvalidArguments: Lists every field that is missing, unknown or of another type.
    """
    problems: list[str] = []
    args = _record(method.args, values, "", problems)
    if problems:
        raise InvalidArguments(problems)
    return decode(method.args, encode(args))


def shown(state: State, module: ChainModule) -> Iterator[dict[str, Any]]:
    """The entries of a module in a state, as JSON values: what it is, the parts of its key, its value."""
    for key, value in state.trees[module.name].items():
        entry = next(e for e in module.entries if e.fits(key))
        content = value.hex() if entry.record is None else plain(decode(entry.record, value))
        yield {"entry": entry.about, **_key_parts(entry, key), "value": content}


def plain(value: Any) -> Any:
    """The JSON form of a value: records as objects by field name, bytes as hexadecimal text."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def _key_parts(entry: Entry, key: bytes) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    at = len(entry.prefix)
    for name, kind in entry.key:
        size = KEY_BYTES[kind]
        part, at = key[at : at + size], at + size
        parts[name] = (
            part.hex() if kind == "bytes" else int.from_bytes(part, "big", signed=kind.startswith("i"))
        )
    return parts


def _hints(kind: type[Record]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _type_text(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return f"{_type_text(_without_none(hint))}?"
    if get_origin(hint) is tuple:
        return f"[{_type_text(get_args(hint)[0])}]"
    return "hex" if hint is bytes else str(hint.__name__)


def _without_none(hint: Any) -> Any:
    return next(part for part in get_args(hint) if part is not types.NoneType)


def _record(kind: type[Record], values: Any, where: str, problems: list[str]) -> Any:
    hints = _hints(kind)
    if not isinstance(values, Mapping):
        problems.append(f"{where or kind.__name__} must be an object with {', '.join(hints)}")
        return None
    for name in values:
        if name not in hints:
            problems.append(f"{where}{name} is not an argument.{did_you_mean(str(name), hints)}")
    problems += [f"{where}{name} is missing" for name in hints if name not in values]
    found = {
        name: _value(hints[name], values[name], f"{where}{name}", problems)
        for name in hints
        if name in values
    }
    return kind(**found) if len(found) == len(hints) else None


def _value(hint: Any, value: Any, where: str, problems: list[str]) -> Any:
    if isinstance(hint, types.UnionType):
        return None if value is None else _value(_without_none(hint), value, where, problems)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record(hint, value, f"{where}.", problems)
    if get_origin(hint) is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            problems.append(f"{where} must be a list")
            return ()
        inner = get_args(hint)[0]
        return tuple(_value(inner, item, f"{where}[{i}]", problems) for i, item in enumerate(value))
    if hint is bytes:
        try:
            return bytes.fromhex(value)
        except (TypeError, ValueError):
            problems.append(f"{where} must be hexadecimal text")
            return b""
    if type(value) is not hint:
        problems.append(f"{where} must be {'a whole number' if hint is int else 'text'}")
    return value
