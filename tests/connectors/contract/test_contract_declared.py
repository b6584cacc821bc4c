"""What a connector says of itself before any call: consistent, and in words that the engine knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from croniter import croniter
from drawn import draft_of, facts_of, name_labels
from imitated import Crm, Imitation
from imitations import IMITATIONS

from syncline.connectors.registry import PLATFORMS, get_platform, quotas_of
from syncline.domain.mapping import mappable
from syncline.domain.mapping_check import check_mapping
from syncline.domain.mapping_file import LABELLED
from syncline.domain.records import RECORD_TYPES
from syncline.domain.writing import Writer
from syncline.errors import NotFound

#: The page that shows how a connector is written has one of its own, which is registered nowhere.
_OF_THE_PAGE = {"tallybook"}


def test_every_platform_that_is_registered_keeps_the_contract() -> None:
    assert set(IMITATIONS) - _OF_THE_PAGE == set(PLATFORMS)
    for name, platform in PLATFORMS.items():
        assert get_platform(name) is platform
        assert platform.capabilities.platform == name
    with pytest.raises(NotFound, match="no_such_platform"):
        get_platform("no_such_platform")


def test_a_platform_is_named_as_tables_and_commands_can_be(imitation: Imitation) -> None:
    capabilities = imitation.crm.platform.capabilities
    assert capabilities.platform.isidentifier()
    assert capabilities.platform == capabilities.platform.lower()
    assert capabilities.label
    assert capabilities.token_variable.isupper()
    assert not capabilities.default_base_url.endswith("/")


def test_objects_are_named_once_and_known_to_all_that_names_them(imitation: Imitation) -> None:
    capabilities = imitation.crm.platform.capabilities
    names = [each.name for each in capabilities.objects]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)
    for pair in (*capabilities.association_pairs, *capabilities.references):
        assert set(pair) <= set(names)
    assert len(set(capabilities.association_pairs)) == len(capabilities.association_pairs)
    assert set(capabilities.references) <= set(capabilities.association_pairs)
    assert all(path for path in capabilities.references.values())
    assert bool(capabilities.mergeable) == bool(capabilities.mergeable & set(names))
    for each in capabilities.objects:
        assert set(each.associates_with) <= set(names)
        assert each.record_type is None or each.record_type in RECORD_TYPES
        assert each.modified_property
        assert croniter.is_valid(each.default_schedule)


def test_batches_and_quotas_leave_room_for_a_call(imitation: Imitation) -> None:
    platform = imitation.crm.platform
    capabilities = platform.capabilities
    assert min(capabilities.read_batch, capabilities.write_batch, capabilities.association_batch) > 0
    assert capabilities.overlap >= timedelta()
    assert capabilities.second_pass_after > capabilities.overlap
    quotas = quotas_of(platform, {})
    assert quotas
    assert len({each.bucket for each in quotas}) == len(quotas)
    for each in quotas:
        assert each.limit > 0
        assert each.window > timedelta()
        assert each.dearest > 0
        assert each.daily_limit is None or each.daily_limit >= each.dearest


def test_what_is_found_by_its_content_can_belong_to_something(imitation: Imitation) -> None:
    capabilities = imitation.crm.platform.capabilities
    assert capabilities.needs_parent <= capabilities.found_by_content
    assert capabilities.found_by_content <= {each.name for each in capabilities.objects if each.record_type}
    assert capabilities.found_by_content <= {name for name, _ in capabilities.references}


def test_settings_are_explained(imitation: Imitation) -> None:
    for name, words in imitation.crm.platform.capabilities.settings.items():
        assert name == name.lower()
        assert len(words) > 10


def test_the_default_mapping_fills_fields_that_there_are_with_objects_that_there_are(
    imitation: Imitation,
) -> None:
    platform = imitation.crm.platform
    types = {each.name: each.record_type for each in platform.capabilities.objects}
    for name, mapping in platform.mapping.items():
        assert mapping.object == name
        assert mapping.record_type == types[name]
        allowed = {*mappable(mapping.record_type), "status", "expected_close_date", "closed_at"}
        fields = [each.field for each in mapping.fields]
        assert set(fields) | mapping.constants.keys() <= allowed
        assert len(set(fields)) == len(fields)
    assert {name for name, kind in types.items() if kind is not None} == set(platform.mapping)


def test_property_sets_are_of_objects_that_there_are(imitation: Imitation) -> None:
    crm = imitation.crm
    names = {each.name for each in crm.platform.capabilities.objects}

    async def send(request: object) -> object:
        raise AssertionError(request)

    connector = crm.platform.make(send, {})  # type: ignore[arg-type]
    for name, each in connector.property_sets.items():
        assert each.name == name
        assert set(each.properties) <= names
        for wanted in (one for properties in each.properties.values() for one in properties):
            assert bool(wanted.choices) == (wanted.type == "choice")


async def test_every_property_that_is_mapped_is_described(crm: Crm) -> None:
    for name, mapping in crm.platform.mapping.items():
        definitions = await crm.connector.describe(name)
        if not definitions:
            continue
        known = {each.name for each in definitions} | crm.lacks.get(name, frozenset())
        missing = {each.property for each in mapping.fields if not each.property.startswith(LABELLED)} - known
        assert missing == set(), name


async def test_every_converter_fits_what_its_property_holds(crm: Crm) -> None:
    for name, usual in crm.platform.mapping.items():
        definitions = await crm.connector.describe(name)
        if not definitions:
            continue
        facts = facts_of(crm, definitions)
        mapping = name_labels(usual, definitions)
        named = type(usual)(name, usual.record_type, (), version=usual.version)
        findings = check_mapping({name: mapping}, {name: named}, {name: facts})
        errors = [
            f"{name}.{each.property}: {each.problem}"
            for each in findings
            if each.level == "error" and each.property in facts
        ]
        assert errors == []


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_mapped_and_written_back_means_the_same(crm: Crm, seed: int) -> None:
    for name in crm.platform.mapping:
        draft = await draft_of(crm, name)
        properties = draft.draw(seed)
        mapped = draft.mapper.map(properties)
        assert mapped.problems == {}, name
        ours = {field: each for field, each in mapped.values.items() if field not in draft.mapping.constants}
        written = Writer(draft.mapping, draft.lookups, draft.settable).write(ours, mapped.values)
        assert draft.means({**properties, **written.properties}) == mapped.values, name
        assert written.properties.keys() <= properties.keys() | {
            each.property for each in draft.mapping.fields
        }
