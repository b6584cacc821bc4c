"""Made-up values for the properties that a mapping writes, and whether two readings mean the same to us."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from imitated import Crm

from syncline.connectors.reads import PropertyDefinition
from syncline.domain.mapping import FieldMap, Lookups, Mapper, ObjectMap, StageFact
from syncline.domain.mapping_check import PropertyFact, PropertyKind

#: Field of ours → what a value of it looks like.
_TEXTS = {
    "email": "{word}@people.example",
    "phone": "+1 212 555 {number}",
    "website": "https://www.{word}.example",
    "domain": "{word}.example",
    "from_number": "+1 212 555 {number}",
    "to_number": "+1 212 555 {number}",
    "currency": "USD",
}
_LABELLED = "custom:"


class Draft:
    """An object's default mapping as an account can take it, and lookups as a sync would have them."""

    def __init__(
        self,
        mapping: ObjectMap,
        facts: Mapping[str, PropertyFact],
        lookups: Lookups,
        stage: tuple[str, str] | None,
    ) -> None:
        self.mapping = mapping
        self.facts = facts
        self.lookups = lookups
        self._stage = stage
        self.mapper = Mapper(mapping, lookups)

    @property
    def settable(self) -> frozenset[str]:
        return frozenset(name for name, fact in self.facts.items() if fact.settable)

    def draw(self, seed: int) -> dict[str, str | None]:
        """Return a text for every property that the mapping would write."""
        chance = random.Random(seed)
        found: dict[str, str | None] = {}
        for each in self.mapping.fields:
            if each.direction != "pull" and each.property in self.settable:
                text = self._value(each, chance)
                if text is not None:
                    found[each.property] = text
        return found

    def means(self, properties: Mapping[str, Any], names: frozenset[str] | None = None) -> dict[str, Any]:
        """Return what properties mean to us, of those named."""
        kept = {name: each for name, each in properties.items() if names is None or name in names}
        return self.mapper.map(kept).values

    def _value(self, each: FieldMap, chance: random.Random) -> str | None:
        fact = self.facts[each.property]
        if each.field in ("pipeline", "stage"):
            return None if self._stage is None else self._stage[each.field == "stage"]
        if each.convert == "owner":
            return next(iter(sorted(self.lookups.owners)), None)
        if each.convert == "choice":
            return chance.choice([name for name in each.choices if not fact.choices or name in fact.choices])
        if fact.choices:
            return chance.choice(fact.choices)
        kind = fact.kind if each.convert in ("text", *_KINDS.get(fact.kind, ())) else each.convert
        return _text(str(kind), each.field, chance)


_KINDS: Mapping[PropertyKind, tuple[str, ...]] = {
    "date": ("date", "time"),
    "time": ("time",),
    "number": ("number",),
}


def _text(kind: str, field: str, chance: random.Random) -> str:
    if kind == "number":
        return str(chance.randrange(1, 99) * (60_000 if field == "duration_ms" else 1))
    if kind == "boolean":
        return chance.choice(("true", "false"))
    if kind in ("time", "date"):
        day = f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
        return day if kind == "date" else f"{day}T{chance.randrange(24):02}:{chance.randrange(60):02}:00.000Z"
    word = "".join(chance.choices("abcdefghijklmnoprstuvw", k=12))
    form = _TEXTS.get(field, "Ünal & {word} {number}")
    return form.format(word=word, number=chance.randrange(1000, 9999))


async def draft_of(crm: Crm, object_name: str, definitions: list[PropertyDefinition] | None = None) -> Draft:
    """Prepare an object's default mapping: labels found, what the account lacks left out."""
    if definitions is None:
        definitions = await crm.connector.describe(object_name)
    mapping = name_labels(crm.platform.mapping[object_name], definitions)
    facts = facts_of(crm, definitions)
    fields = tuple(each for each in mapping.fields if each.property in facts)
    lookups, stage = await _look_up(crm, object_name)
    return Draft(replace(mapping, fields=fields), facts, lookups, stage)


def facts_of(crm: Crm, definitions: list[PropertyDefinition]) -> dict[str, PropertyFact]:
    """Say in neutral words what properties are, as the engine does."""
    found: dict[str, PropertyFact] = {}
    for each in definitions:
        kind, choices = crm.platform.classify(each.type, each.definition)
        found[each.name] = PropertyFact(each.name, kind, not (each.read_only or each.calculated), choices)
    return found


def name_labels(mapping: ObjectMap, definitions: list[PropertyDefinition]) -> ObjectMap:
    """Put the account's own names for `custom:label`, where it has such a property."""
    names = {f"{_LABELLED}{each.label}".casefold(): each.name for each in definitions}
    fields = (
        replace(each, property=names.get(each.property.casefold(), each.property)) for each in mapping.fields
    )
    return replace(mapping, fields=tuple(fields))


async def _look_up(crm: Crm, object_name: str) -> tuple[Lookups, tuple[str, str] | None]:
    owners: dict[str, str] = {}
    for each in crm.objects:
        if each.record_type == "owner":
            ids = sorted(await crm.living(each.name))
            owners = {remote_id: str(UUID(int=number + 1)) for number, remote_id in enumerate(ids)}
    stages: dict[tuple[str, str], StageFact] = {}
    first: tuple[str, str] | None = None
    for pipeline in await crm.connector.list_pipelines(object_name):
        for stage in pipeline.stages:
            place = (pipeline.remote_id, stage.remote_id)
            number = len(stages)
            is_won = stage.is_closed and (stage.probability or 0) >= 100
            stages[place] = StageFact(
                pipeline.remote_id, f"{number}", stage.is_closed, is_won, int(stage.probability or 0)
            )
            if not stage.is_closed:
                first = first or place
    return Lookups(owners=owners, stages=stages), first
