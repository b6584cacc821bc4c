"""What HubSpot has besides records: associations, definitions, history, the account, grants."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from syncline.connectors.hubspot.connector import HubSpot
from syncline.connectors.hubspot.failures import explain_failure
from syncline.connectors.hubspot.objects import CAPABILITIES
from syncline.connectors.registry import PLATFORMS, get_platform
from syncline.connectors.transport import QuotaFacts, Request, Response, Token
from syncline.errors import Invalid, NotFound, SettingInvalid, TokenRejected, Unavailable

pytestmark = pytest.mark.anyio


class Script:
    """Answers each path with what is written for it, in turn; the last answer stays."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers: dict[str, list[Any]] = {
            path: each if isinstance(each, list) else [each] for path, each in answers.items()
        }
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        answers = self.answers.get(request.path)
        if answers is None:
            raise explain_failure(404, {}, b"<html>")
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(body, Response):
            return body
        return Response(207 if "errors" in body else 200, {}, json.dumps(body).encode())


DEAL_CONTACTS = "/crm/associations/2026-03/deals/contacts/batch/read"


def pair(from_id: str, *to: Any, after: str | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "from": {"id": from_id},
        "to": [
            {
                "toObjectId": each,
                "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}],
            }
            for each in to
        ],
    }
    return result | ({"paging": {"next": {"after": after, "link": "x"}}} if after else {})


async def test_associations_keep_labels_types_and_ids_as_text():
    primary = {
        "from": {"id": 7},
        "to": [
            {
                "toObjectId": 442222359747,
                "associationTypes": [
                    {"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None},
                    {"category": "USER_DEFINED", "typeId": 12, "label": "Decision maker"},
                ],
            }
        ],
    }
    script = Script({DEAL_CONTACTS: {"status": "COMPLETE", "results": [primary, pair("8", "9")]}})
    found = await HubSpot(script.send).read_associations("deals", "contacts", ["7", "8"])
    assert [
        (each.from_id, each.to_id, each.type_id, each.type, each.category, each.label) for each in found
    ] == [
        ("7", "442222359747", 3, "deal_to_contact", "HUBSPOT_DEFINED", None),
        ("7", "442222359747", 12, "deal_to_contact", "USER_DEFINED", "Decision maker"),
        ("8", "9", 3, "deal_to_contact", "HUBSPOT_DEFINED", None),
    ]
    assert script.requests[0].bucket == "associations"


async def test_a_record_with_more_associations_than_a_page_is_read_to_the_end():
    script = Script(
        {
            DEAL_CONTACTS: [
                {"results": [pair("7", 1, 2, after="MC0y"), pair("8", 3)]},
                {"results": [pair("7", 4, after="NC0y")]},
                {"results": [pair("7", 5)]},
            ]
        }
    )
    found = await HubSpot(script.send).read_associations("deals", "contacts", ["7", "8", "7"])
    assert sorted((each.from_id, each.to_id) for each in found) == [
        ("7", "1"),
        ("7", "2"),
        ("7", "4"),
        ("7", "5"),
        ("8", "3"),
    ]
    assert [each.json["inputs"] for each in script.requests] == [
        [{"id": "7"}, {"id": "8"}],
        [{"id": "7", "after": "MC0y"}],
        [{"id": "7", "after": "NC0y"}],
    ]


def none_found(category: str, sub_category: str | None) -> dict[str, Any]:
    return {
        "status": "error",
        "category": category,
        "subCategory": sub_category,
        "message": "No contact is associated with deal 8.",
        "context": {"fromObjectId": ["8"], "fromObjectType": ["deal"], "toObjectType": ["contact"]},
    }


async def test_having_no_associations_is_no_error_but_any_other_is():
    error = none_found("OBJECT_NOT_FOUND", "crm.associations.NO_ASSOCIATIONS_FOUND")
    script = Script({DEAL_CONTACTS: {"results": [pair("7", 1)], "numErrors": 1, "errors": [error]}})
    assert len(await HubSpot(script.send).read_associations("deals", "contacts", ["7", "8"])) == 1
    error = none_found("VALIDATION_ERROR", "crm.associations.TRY_AGAIN")
    script = Script({DEAL_CONTACTS: {"results": [pair("7", 1)], "numErrors": 1, "errors": [error]}})
    with pytest.raises(Unavailable):
        await HubSpot(script.send).read_associations("deals", "contacts", ["7", "8"])


async def test_too_many_ids_at_once_are_refused_before_the_call():
    hubspot = HubSpot(Script({}).send)
    with pytest.raises(Invalid):
        await hubspot.read_associations("deals", "contacts", [str(each) for each in range(1001)])
    with pytest.raises(Invalid):
        await hubspot.read_many("deals", [str(each) for each in range(101)], [])
    with pytest.raises(Invalid):
        await hubspot.read_history("deals", [str(each) for each in range(51)], ["amount"])


async def test_property_definitions_come_whole_and_by_name():
    email = {
        "name": "email",
        "label": "Email",
        "type": "string",
        "fieldType": "text",
        "calculated": False,
        "hidden": False,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": True, "readOnlyValue": False},
    }
    age = {"name": "days_open", "label": "", "type": "number", "calculated": True, "hidden": True,
           "modificationMetadata": {"readOnlyValue": True}}  # fmt: skip
    script = Script({"/crm/properties/2026-03/contacts": {"results": [email, age, {"name": "odd"}]}})
    found = await HubSpot(script.send).describe("contacts")
    assert [each.name for each in found] == ["days_open", "email", "odd"]
    assert [(each.read_only, each.calculated, each.type) for each in found] == [
        (True, True, "number"),
        (False, False, "string"),
        (False, False, "string"),
    ]
    assert found[1].definition == email


async def test_pipelines_turn_text_into_facts():
    def stage(stage_id: str, order: int, **metadata: str) -> dict[str, Any]:
        return {"id": stage_id, "label": stage_id.title(), "displayOrder": order, "metadata": metadata}

    pipeline = {
        "id": "default",
        "label": "Sales Pipeline",
        "displayOrder": 1,
        "archived": False,
        "stages": [
            stage("won", 2, isClosed="true", probability="1.0"),
            stage("new", 0, isClosed="false", probability="0.2"),
            stage("mid", 1, probability="0.9"),
            stage("odd", 3, isClosed="false", probability="high"),
        ],
    }
    script = Script({"/crm/pipelines/2026-03/deals": {"results": [pipeline, {"id": "2", "displayOrder": 0}]}})
    hubspot = HubSpot(script.send)
    second, first = await hubspot.list_pipelines("deals")
    assert second.remote_id == "2"
    assert [(each.remote_id, each.is_closed, each.probability) for each in first.stages] == [
        ("new", False, 20.0),
        ("mid", False, 90.0),
        ("won", True, 100.0),
        ("odd", False, None),
    ]
    assert await hubspot.list_pipelines("contacts") == []
    assert len(script.requests) == 1


async def test_history_is_newest_first_whatever_the_order_it_came_in():
    versions = [
        {
            "value": "a\0",
            "timestamp": "2024-11-20T20:12:09.236Z",
            "sourceType": "INTEGRATION",
            "sourceId": "1",
        },
        {"value": None, "timestamp": "2024-11-21T20:12:09.236Z", "sourceType": "CRM_UI"},
        {"value": "x", "timestamp": "never"},
    ]
    body = {"results": [{"id": "1", "properties": {}, "propertiesWithHistory": {"dealstage": versions}}]}
    script = Script({"/crm/objects/2026-03/deals/batch/read": body})
    found = await HubSpot(script.send).read_history("deals", ["1", "1", "2"], ["dealstage"])
    assert found == {
        "1": {
            "dealstage": [(1_732_219_929_236, None, "CRM_UI"), (1_732_133_529_236, "a\ufffd", "INTEGRATION")]
        }
    }
    assert script.requests[0].json["inputs"] == [{"id": "1"}, {"id": "2"}]


DETAILS = {
    "portalId": 1234,
    "accountType": "DEVELOPER_TEST",
    "timeZone": "US/Eastern",
    "companyCurrency": "USD",
    "uiDomain": "app-eu1.hubspot.com",
}


async def test_check_tells_account_quota_and_clock():
    script = Script(
        {
            "/account-info/2026-03/details": Response(
                200,
                {"date": "Sat, 21 Nov 2026 12:05:00 GMT"},
                json.dumps(DETAILS).encode(),
                QuotaFacts(daily_limit=250_000, daily_remaining=249_000),
            )
        }
    )
    with time_machine.travel(datetime(2026, 11, 21, 12, 0, tzinfo=UTC), tick=False):
        account = await HubSpot(script.send).check()
    assert (account.account_id, account.time_zone, account.currency) == ("1234", "US/Eastern", "USD")
    assert account.url == "https://app-eu1.hubspot.com/home?portalId=1234"
    assert account.name == "HubSpot account 1234 (developer test)"
    assert account.clock_skew_seconds == pytest.approx(300, abs=1)
    assert (account.daily_used, account.daily_limit, account.scopes) == (1_000, 250_000, None)


async def test_custom_objects_are_found_by_name_and_by_type_id():
    schemas = {"results": [{"objectTypeId": "2-3465404", "name": "cars", "fullyQualifiedName": "p1234_cars"}]}
    script = Script(
        {
            "/crm-object-schemas/2026-03/schemas": schemas,
            "/crm/properties/2026-03/2-3465404": {"results": []},
            "/crm/objects/2026-03/2-3465404": {"results": []},
        }
    )
    hubspot = HubSpot(script.send)
    cars = await hubspot.get_object("cars")
    assert (cars.name, cars.record_type, cars.modified_property) == ("cars", None, "hs_lastmodifieddate")
    assert (await hubspot.get_object("2-3465404")).record_type is None
    assert await hubspot.list_ids("cars", "", "") == ([], None)
    with pytest.raises(NotFound, match="boats"):
        await hubspot.get_object("boats")
    assert [each.path for each in script.requests].count("/crm-object-schemas/2026-03/schemas") == 1


async def test_owners_are_listed_living_and_archived():
    living = {"results": [{"id": "1", "email": "a@example.com"}], "paging": {"next": {"after": "1"}}}
    last = {"results": [{"id": "2", "email": "b@example.com"}]}
    gone = {"results": [{"id": "3", "archived": True, "updatedAt": "2022-02-17T18:54:22.305Z"}]}
    script = Script({"/crm/owners/2026-03": [living, last, gone, living, last]})
    hubspot = HubSpot(script.send)
    walk = await hubspot.plan_walk("owners")
    assert script.requests == []
    first = await hubspot.walk_page("owners", [], walk, "", "")
    second = await hubspot.walk_page("owners", [], walk, first.after or "", "")
    archived = await hubspot.archived_page("owners", [], "")
    assert [each.remote_id for page in (first, second, archived) for each in page.records] == ["1", "2", "3"]
    assert archived.records[0].archived_ms is not None
    assert [each.remote_id for each in (await hubspot.read_many("owners", ["2"], [])).records] == ["2"]
    assert await hubspot.count("owners") is None
    assert await hubspot.describe("owners") == []


async def test_archived_records_are_archived_even_if_they_do_not_say_so():
    script = Script(
        {
            "/crm/objects/2026-03/contacts": {
                "results": [{"id": "1", "properties": {}, "updatedAt": "2022-02-17T18:54:22Z"}]
            }
        }
    )
    page = await HubSpot(script.send).archived_page("contacts", [], "")
    assert page.records[0].archived_ms == 1_645_124_062_000
    assert script.requests[0].query["archived"] == "true"


GRANT = {
    "token_type": "bearer",
    "refresh_token": "r2",
    "access_token": "a2",
    "hub_id": 123,
    "scopes": ["oauth"],
    "expires_in": 1800,
}


async def test_a_code_becomes_tokens_and_is_sent_once_without_authorization():
    oauth = get_platform("hubspot").oauth
    assert oauth is not None
    script = Script({"/oauth/2026-03/token": GRANT})
    with time_machine.travel(datetime(2026, 11, 21, tzinfo=UTC), tick=False):
        grant = await oauth.exchange_code(script.send, "id", "secret", "https://hub.example/back", "code")
    assert (grant.token.access_token, grant.token.refresh_token) == ("a2", "r2")
    assert grant.token.expires_ms == 1_795_219_200_000 + 1_800_000
    assert (grant.account_id, grant.scopes) == ("123", frozenset({"oauth"}))
    [request] = script.requests
    assert not request.authorized
    assert not request.idempotent
    assert request.form is not None
    assert request.form["grant_type"] == "authorization_code"


async def test_a_refresh_keeps_the_old_refresh_token_unless_a_new_one_comes():
    oauth = get_platform("hubspot").oauth
    assert oauth is not None
    script = Script({"/oauth/v3/token": [GRANT | {"refresh_token": None}, GRANT]})
    old = Token("a1", "r1", 0)
    assert (await oauth.refresh(script.send, "id", "secret", old)).token.refresh_token == "r1"
    assert (await oauth.refresh(script.send, "id", "secret", old)).token.refresh_token == "r2"
    with pytest.raises(TokenRejected):
        await oauth.refresh(script.send, "id", "secret", Token("a1"))


def test_the_authorize_address_holds_what_hubspot_asks_for():
    oauth = get_platform("hubspot").oauth
    assert oauth is not None
    url = oauth.authorize_url("id", "https://hub.example/back?a=1", ["crm.objects.contacts.read"], "s/1")
    assert url == (
        "https://app.hubspot.com/oauth/authorize?client_id=id&redirect_uri=https%3A%2F%2Fhub.example%2Fback%3Fa%3D1"
        "&scope=oauth%20crm.objects.contacts.read&state=s%2F1"
    )


def test_every_object_of_every_platform_has_a_mapping_or_is_mirrored_only():
    for platform in PLATFORMS.values():
        known = {each.name for each in platform.capabilities.objects}
        for each in platform.capabilities.objects:
            assert (each.name in platform.mapping) == (each.record_type is not None)
            assert set(each.associates_with) <= known
        assert all(
            first in known and second in known for first, second in platform.capabilities.association_pairs
        )


def test_associations_are_read_from_the_side_with_fewer_records():
    assert ("companies", "contacts") in CAPABILITIES.association_pairs
    assert ("contacts", "companies") not in CAPABILITIES.association_pairs
    assert len(CAPABILITIES.association_pairs) == len(set(CAPABILITIES.association_pairs)) == 18


def test_unknown_platforms_and_versions_are_refused():
    with pytest.raises(NotFound, match="hubspot"):
        get_platform("abacus")
    with pytest.raises(SettingInvalid):
        get_platform("hubspot").make(Script({}).send, {"api_version": "2031-01"})
