"""Whether a schema may follow another: whoever holds the old one must not notice, so things are only added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

#: Limits that may only become wider, by the sign that wider has.
_LIMITS: Final = {
    "maxLength": 1,
    "maximum": 1,
    "exclusiveMaximum": 1,
    "maxProperties": 1,
    "maxItems": 1,
    "minLength": -1,
    "minimum": -1,
    "exclusiveMinimum": -1,
    "minItems": -1,
}
_SAME: Final = ("const", "pattern", "format", "propertyNames", "multipleOf")


def incompatibilities(old: Schema, new: Schema, *, is_outbound: bool = False) -> list[str]:
    """What breaks those who hold the old schema, as sentences.

    Args:
        old: as it was published.
        new: as it would be.
        is_outbound: others read what is written by it, so that nothing new may appear in a field that they know, and
            nothing that was always there may be missing.
    """
    return list(_Comparison(old, new, is_outbound).of(old, new, "data"))


class _Comparison:
    def __init__(self, old: Schema, new: Schema, is_outbound: bool) -> None:
        self._old_parts, self._new_parts = old.get("$defs", {}), new.get("$defs", {})
        self._is_outbound = is_outbound

    def of(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        """All that breaks at this place and within it."""
        old, new = _resolved(old, self._old_parts), _resolved(new, self._new_parts)
        yield from self._values(old, new, path)
        yield from self._limits(old, new, path)
        olds, news = self._alternatives(old, self._old_parts), self._alternatives(new, self._new_parts)
        if len(olds) > 1 or len(news) > 1:
            for kind in olds.keys() & news.keys():
                yield from self.of(olds[kind], news[kind], path)
            return
        yield from self._fields(old, new, path)
        for key, place in (("items", f"{path}[]"), ("additionalProperties", f"{path}.*")):
            if isinstance(new.get(key), Mapping):
                yield from self.of(old.get(key) or {}, new[key], place)
            elif new.get(key) is False and old.get(key) is not False:
                yield f"{place}: is no longer allowed."

    def _alternatives(self, schema: Schema, parts: Schema) -> dict[str, Schema]:
        """The alternatives of a schema by JSON type; none where it is one by itself."""
        some = (_resolved(one, parts) for one in schema.get("anyOf", ()))
        return {kind: one for one in some for kind in sorted(_types(one)) or ["anything"]}

    def _values(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = self._all_types(old, self._old_parts), self._all_types(new, self._new_parts)
        if after and (not before or _beyond(before, after)):
            yield f"{path}: was {_named(before)} and is narrowed to {_named(after)}."
        if self._is_outbound and before and (not after or _beyond(after, before)):
            yield f"{path}: may now be {_named(_beyond(after, before))}, which readers do not expect."
        listed, now = old.get("enum"), new.get("enum")
        if now is not None and (listed is None or not set(listed) <= set(now)):
            yield f"{path}: no longer allows every value that it did."
        if self._is_outbound and listed is not None and (now is None or not set(now) <= set(listed)):
            yield f"{path}: may now have values that readers do not expect."

    def _all_types(self, schema: Schema, parts: Schema) -> set[str]:
        found: set[str] = set()
        for one in schema.get("anyOf", [schema]):
            found |= _types(_resolved(one, parts))
        return found

    def _limits(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        for name, sign in _LIMITS.items():
            if name in new and (name not in old or (new[name] - old[name]) * sign < 0):
                yield f"{path}: {name} is narrower than it was."
        for name in _SAME:
            if name in new and new[name] != old.get(name):
                yield f"{path}: {name} differs."

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{path}.{name}: is removed."
            else:
                yield from self.of(before[name], after[name], f"{path}.{name}")
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(needs - needed):
            if not (self._is_outbound and name not in before):
                yield f"{path}.{name}: is newly required."
        for name in sorted(needed - needs if self._is_outbound else ()):
            yield f"{path}.{name}: may now be missing."


def _resolved(schema: Schema, parts: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    return parts[name] if name else schema


def _types(schema: Schema) -> set[str]:
    found = schema.get("type", ())
    return {found} if isinstance(found, str) else set(found)


def _beyond(some: set[str], others: set[str]) -> set[str]:
    """The types that are not among the others; whole numbers are numbers."""
    return some - others - ({"integer"} if "number" in others else set())


def _named(types: set[str]) -> str:
    return " or ".join(sorted(types)) or "anything"
