"""A connection's mapping: seen, checked against what the CRM has, compared, and let hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.sync import Progress, Synced, Unseen
from syncline.connectors.base import Platform
from syncline.connectors.registry import get_platform
from syncline.domain.mapping import ObjectMap
from syncline.domain.mapping_check import Finding, PropertyFact, check_mapping
from syncline.domain.mapping_file import ConnectionMapping, load_mapping
from syncline.domain.mapping_text import describe, render_document
from syncline.domain.plain_yaml import read_yaml
from syncline.domain.policies import dump_policy
from syncline.engine.foresee import Effects, preview
from syncline.engine.recall import mapping_before
from syncline.engine.remap import RemapOrder, list_pending, remap, store_mapping
from syncline.engine.remotes import read_mapping
from syncline.errors import Invalid, SettingInvalid
from syncline.store import definitions
from syncline.store.connections import Connection


@dataclass(frozen=True, slots=True)
class MappedField:
    object: str
    record: str
    field: str
    #: None for one that is off.
    property: str | None
    direction: str | None
    convert: str | None
    choices: Mapping[str, str | None]
    #: Who wins a conflict about it.
    policy: str
    #: False where the connection's own mapping says so.
    is_default: bool


@dataclass(frozen=True, slots=True)
class ShownMapping:
    """What holds for a connection."""

    connection: str
    version: int
    #: The document as it was applied; None where the default holds.
    document: dict[str, Any] | None
    fields: list[MappedField]
    policy: dict[str, Any]
    #: The same as a file to begin one's own with.
    text: str = field(repr=False)
    #: Objects whose records it has not been applied to yet.
    pending: list[str]
    #: Why it cannot be followed any more.
    fault: str | None = None


async def show_mapping(hub: Hub, name: str) -> ShownMapping:
    """Return what holds for a connection, also where its document can no longer be followed."""
    connection, platform = await _open(hub, name)
    fault = None
    try:
        mapping = load_mapping(connection.mapping, platform.mapping)
    except Invalid as error:
        fault = str(error)
        mapping = mapping_before(connection, platform)
    return ShownMapping(
        connection.name,
        connection.mapping_version,
        connection.mapping,
        [each for usual in platform.mapping.values() for each in _list_fields(mapping, usual)],
        dump_policy(mapping.policy),
        render_document(connection.mapping, platform.mapping),
        await list_pending(hub.db, connection, platform),
        fault,
    )


def _list_fields(mapping: ConnectionMapping, usual: ObjectMap) -> list[MappedField]:
    default = {each.field: each for each in usual.fields}
    fields = {each.field: each for each in mapping.objects[usual.object].fields}
    listed: list[MappedField] = []
    for name in dict.fromkeys([*default, *fields]):
        each = fields.get(name)
        rule = mapping.policy.rule_for(usual.record_type, name)
        if each is None:
            found = MappedField(usual.object, usual.record_type, name, None, None, None, {}, rule, False)
        else:
            found = MappedField(
                usual.object,
                usual.record_type,
                name,
                each.property,
                each.direction,
                each.convert,
                each.choices,
                rule,
                default.get(name) == each,
            )
        listed.append(found)
    return listed


async def check_mapping_of(hub: Hub, name: str, text: bytes | None = None) -> list[Finding]:
    """Compare a mapping with what the CRM was last read to have; without `text` the one that holds.

    Raises `Invalid` for a document that makes no sense.
    """
    connection, platform = await _open(hub, name)
    document = connection.mapping if text is None else read_yaml(text)
    return await _check(
        hub, connection, platform, load_mapping(document, platform.mapping, names=connection.property_names)
    )


async def _check(
    hub: Hub, connection: Connection, platform: Platform, mapping: ConnectionMapping
) -> list[Finding]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        rows = await definitions.list_properties(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
    facts: dict[str, dict[str, PropertyFact]] = {
        each.name: {} for each in platform.capabilities.objects if each.has_properties
    }
    for row in rows:
        if row.object in facts:
            kind, choices = platform.classify(row.type, row.definition)
            facts[row.object][row.name] = PropertyFact(row.name, kind, row.settable, choices)
    return check_mapping(mapping.objects, platform.mapping, facts)


@dataclass(frozen=True, slots=True)
class FieldDifference:
    object: str
    field: str
    #: How it is mapped, in a few words.
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class MappingDifference:
    """What would change if another mapping held."""

    connection: str
    fields: list[FieldDifference]
    #: The policies, where they differ.
    policy: tuple[dict[str, Any], dict[str, Any]] | None
    #: Object → what would become of its records.
    effects: dict[str, Effects]

    @property
    def is_nothing(self) -> bool:
        return not self.fields and self.policy is None


async def compare_mapping(
    hub: Hub,
    name: str,
    text: bytes | None,
    on_progress: Callable[[str, int], None] = lambda _, __: None,
) -> MappingDifference:
    """Say what a mapping (None: the default) would change, by mapping what is stored. Writes nothing."""
    connection, platform = await _open(hub, name)
    document = None if text is None else read_yaml(text)
    after = load_mapping(
        document,
        platform.mapping,
        version=connection.mapping_version,
        names=connection.property_names,
    )
    before = mapping_before(connection, platform)
    policy = None
    if before.policy != after.policy:
        policy = (dump_policy(before.policy), dump_policy(after.policy))
    return MappingDifference(
        connection.name,
        [each for usual in platform.mapping for each in _compare_fields(before, after, usual)],
        policy,
        await preview(hub.db, connection, platform, after, on_progress),
    )


def _compare_fields(before: ConnectionMapping, after: ConnectionMapping, name: str) -> list[FieldDifference]:
    old = {each.field: each for each in before.objects[name].fields}
    new = {each.field: each for each in after.objects[name].fields}
    found: list[FieldDifference] = []
    for each in dict.fromkeys([*old, *new]):
        one, other = old.get(each), new.get(each)
        if one != other:
            words = describe(one), describe(other)
            if words[0] == words[1]:  # nothing but its choices
                words = f"{words[0]}, choices as before", f"{words[1]}, other choices"
            found.append(FieldDifference(name, each, *words))
    return found


async def apply_mapping(
    hub: Hub,
    name: str,
    text: bytes | None,
    *,
    by: Editor,
    progress: Progress | None = None,
) -> list[Synced]:
    """Let a mapping hold (None: the default), and apply it to the records that are here. No call is made.

    What an earlier application was stopped in is finished first; the same mapping again does only that.
    Raises `Invalid` for a mapping that does not fit the CRM, before anything is changed.
    """
    document = None if text is None else read_yaml(text)
    connection, platform = await _open(hub, name)
    mapping = load_mapping(
        document,
        platform.mapping,
        version=connection.mapping_version + 1,
        names=connection.property_names,
    )
    _refuse(await _check(hub, connection, platform, mapping))
    applying = _Applying(hub, platform, by, progress or Unseen())
    done = await applying.finish(connection)
    if document != connection.mapping:
        connection = await store_mapping(hub.db, connection, platform, document, mapping)
        done += await applying.finish(connection)
    return done


def _refuse(findings: list[Finding]) -> None:
    errors = [each for each in findings if each.level == "error"]
    if errors:
        listed = "; ".join(f"{each.object}.{each.field} ({each.property}): {each.problem}" for each in errors)
        raise Invalid(f"The mapping does not fit the CRM, and was not applied. {listed}")


class _Applying:
    def __init__(self, hub: Hub, platform: Platform, by: Editor, progress: Progress) -> None:
        self._hub = hub
        self._platform = platform
        self._by = by
        self._progress = progress

    async def finish(self, connection: Connection) -> list[Synced]:
        """Apply what holds to every object that it has not been applied to, where it can be followed."""
        hub, progress, name = self._hub, self._progress, connection.name
        try:
            read_mapping(connection, self._platform)
        except SettingInvalid:
            return []
        pending = await list_pending(hub.db, connection, self._platform)
        progress.planned(name, pending)
        done: list[Synced] = []
        for each in pending:
            order = RemapOrder(
                hub.settings,
                self._by.source,
                self._by.name,
                on_waits=partial(progress.waits, name),
                on_progress=partial(progress.moved, name, each),
            )
            progress.began(name, each)
            run = await remap(hub.db, connection, self._platform, each, order)
            done.append(Synced(name, each, "partial" if run.status == "partial" else "success", run))
            progress.ended(done[-1])
        return done


async def _open(hub: Hub, name: str) -> tuple[Connection, Platform]:
    connection = await hub.get_connection(name)
    return connection, get_platform(connection.platform)
