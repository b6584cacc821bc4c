"""Search: which records match, in which order. Knows the index it is given, no HTTP."""

from __future__ import annotations

import fnmatch
import json
import operator
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from syncline.simulators.hubspot.answers import ApiError, invalid
from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.hubspot.store import Record, Store
from syncline.simulators.hubspot.values import number, time_ms
from syncline.simulators.index import SearchIndex

RESULTS_MOST = 10_000
GROUPS_MOST, FILTERS_MOST, ALL_FILTERS_MOST = 5, 6, 18
QUERY_MOST = 3000
_REMEMBERED = 64
_TOKENS = re.compile(r"[^\s@.,;:()/+-]+")

Test = Callable[[Record], bool]
Key = Callable[[Record], Any]
Associated = Callable[[str, int], set[int]]

_MORE: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": operator.eq, "LT": operator.lt, "LTE": operator.le, "GT": operator.gt, "GTE": operator.ge,
}  # fmt: skip


class Searcher:
    """Answers the searches of one object type, remembering the last results while nothing changes."""

    def __init__(self, store: Store, index: SearchIndex[Record], associated: Associated) -> None:
        self._store = store
        self._index = index
        #: (other type's name, other record's id) → ids of this type associated with it.
        self._associated = associated
        self._remembered: OrderedDict[str, list[Record]] = OrderedDict()
        self._state: tuple[int, int] | None = None

    def find(self, body: dict[str, Any]) -> list[Record]:
        """Return every record that matches, in order. Raises `ApiError`."""
        state = self._index.state()
        if state != self._state:
            self._remembered.clear()
            self._state = state
        key = json.dumps([body.get(name) for name in ("filterGroups", "filters", "query", "sorts")])
        found = self._remembered.get(key)
        if found is None:
            found = self._evaluate(body)
            self._remembered[key] = found
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _evaluate(self, body: dict[str, Any]) -> list[Record]:
        test = self._test_of(body)
        records = self._index.list_visible()
        found = [record for record in records if test(record)] if test else records
        query = str(body.get("query") or "").lower().split()
        if query:
            found = [record for record in found if self._has_words(record, query)]
        return self._sorted(found, body.get("sorts") or [])

    def _has_words(self, record: Record, words: list[str]) -> bool:
        text = " ".join(str(record.get(name) or "") for name in self._store.kind.searchable).lower()
        return all(word in text for word in words)

    def _sorted(self, found: list[Record], sorts: list[Any]) -> list[Record]:
        if not sorts:
            return found
        if len(sorts) > 1:
            raise invalid("Only one sort is allowed")
        first = cast("dict[str, Any] | str", sorts[0])
        if isinstance(first, str):
            first = {"propertyName": first.lstrip("-"), "direction": "DESCENDING" if first[0] == "-" else ""}
        definition = self._definition(first.get("propertyName"))
        key = _value_reader(self._store, definition)
        present = [record for record in found if key(record) is not None]
        absent = [record for record in found if key(record) is None]
        present.sort(key=key, reverse=str(first.get("direction")).upper().startswith("DESC"))
        return present + absent

    def _definition(self, name: object) -> Definition:
        definition = self._store.definitions.get(str(name))
        if definition is None or definition.archived:
            raise invalid(f"There was a problem with the request: property '{name}' does not exist")
        return definition

    def _test_of(self, body: dict[str, Any]) -> Test | None:
        groups = [_list(group.get("filters")) for group in _list(body.get("filterGroups"))]
        if body.get("filters"):
            groups.append(_list(body["filters"]))
        check_size(groups)
        alternatives = [[self._filter(one) for one in group] for group in groups if group]
        if not alternatives:
            return None
        if len(alternatives) == 1 and len(alternatives[0]) == 1:
            return alternatives[0][0]
        return lambda record: any(all(test(record) for test in tests) for tests in alternatives)

    def _filter(self, one: dict[str, Any]) -> Test:
        name, how = str(one.get("propertyName")), str(one.get("operator"))
        if name.startswith("associations."):
            return self._association_filter(name.removeprefix("associations."), one)
        definition = self._definition(name)
        key = _value_reader(self._store, definition)
        if how == "HAS_PROPERTY":
            return lambda record: key(record) is not None
        if how == "NOT_HAS_PROPERTY":
            return lambda record: key(record) is None
        if how in {"IN", "NOT_IN"}:
            return _membership(definition, key, one, wanted=how == "IN")
        if how in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
            return _containment(key, str(one.get("value")), wanted=how == "CONTAINS_TOKEN")
        return _comparison(definition, key, how, one)

    def _association_filter(self, other: str, one: dict[str, Any]) -> Test:
        values = cast("list[Any]", one.get("values") or [one.get("value")])
        ids = {found for value in values for found in self._associated(other, int(value))}
        wanted = one.get("operator") in {"EQ", "IN", "HAS_PROPERTY"}
        return lambda record: (record.id in ids) == wanted


def check_size(groups: list[list[dict[str, Any]]]) -> None:
    """Hold a search to its limits. Raises `ApiError`."""
    if len(groups) > GROUPS_MOST:
        raise invalid(f"There was a problem with the request: at most {GROUPS_MOST} filterGroups are allowed")
    if any(len(group) > FILTERS_MOST for group in groups) or sum(map(len, groups)) > ALL_FILTERS_MOST:
        raise invalid(
            f"There was a problem with the request: at most {FILTERS_MOST} filters per group and "
            f"{ALL_FILTERS_MOST} in all are allowed"
        )


def _list(value: Any) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", value) if isinstance(value, list) else []


def _value_reader(store: Store, definition: Definition) -> Key:
    """Return how a property is read for comparing: as number, milliseconds, or text in lower case."""
    name, kind = definition.name, store.kind
    if name == "hs_object_id":
        return lambda record: record.id
    reader = _READERS.get(definition.type, str if definition.type == "enumeration" else _lower)

    def read(record: Record) -> Any:
        value = record.get(name)
        return None if value is None else reader(value)

    if name not in {kind.modified_property, kind.created_property}:
        return read
    # The system's own times are kept as numbers; only a planted or given one is text.
    if name == kind.modified_property:
        return lambda record: read(record) if name in record.own else record.updated_ms
    return lambda record: read(record) if name in record.own else record.created_ms


def _lower(value: object) -> str:
    return str(value).lower()


_READERS: dict[str, Callable[[object], Any]] = {"number": number, "datetime": time_ms, "date": time_ms}


def _wanted(definition: Definition, value: Any) -> Any:
    """Read a filter's value as the property is read. Raises `ApiError`."""
    reader = _READERS.get(definition.type)
    if reader is None:
        return str(value) if definition.type == "enumeration" else _lower(value)
    found = reader(value)
    if found is None:
        raise invalid(f"There was a problem with the request: {value} is not a valid {definition.type}")
    # Source: a filter at the very epoch answers 500 (seen by others' connectors).
    if definition.type != "number" and found == 0:
        raise ApiError(500, "internal error")
    return found


def _membership(definition: Definition, key: Key, one: dict[str, Any], *, wanted: bool) -> Test:
    values = one.get("values")
    if not isinstance(values, list):
        raise invalid("There was a problem with the request: values are required for IN and NOT_IN")
    listed = cast("list[Any]", values)
    if definition.type == "string":
        # Values in capitals never match: they must be given in lower case.
        chosen = {str(value) for value in listed}
    else:
        chosen = {_wanted(definition, value) for value in listed}
    if definition.field_type == "checkbox":
        return lambda record: bool(chosen & set(str(key(record) or "").split(";"))) == wanted
    return lambda record: (key(record) in chosen) == wanted


def _containment(key: Key, wanted_text: str, *, wanted: bool) -> Test:
    phrase = [token for token in re.split(r"[\s@.,;:()/+-]+", wanted_text.lower()) if token]
    tests = [re.compile(fnmatch.translate(token)).match for token in phrase]

    def matches(record: Record) -> bool:
        value = key(record)
        tokens = _TOKENS.findall(str(value).lower()) if value is not None else []
        return all(any(test(token) for token in tokens) for test in tests)

    return lambda record: matches(record) == wanted


def _comparison(definition: Definition, key: Key, how: str, one: dict[str, Any]) -> Test:
    if how == "BETWEEN":
        low, high = _wanted(definition, one.get("value")), _wanted(definition, one.get("highValue"))
        return lambda record: (found := key(record)) is not None and low <= found <= high
    if "value" not in one:
        raise invalid(f"There was a problem with the request: value is required for {how}")
    wanted = _wanted(definition, one["value"])
    if how == "NEQ":
        return lambda record: key(record) != wanted
    compare = _MORE.get(how)
    if compare is None:
        raise invalid(f"There was a problem with the request: unknown operator {how}")
    return lambda record: (found := key(record)) is not None and compare(found, wanted)
