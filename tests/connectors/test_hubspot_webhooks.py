"""What a delivery of HubSpot's is believed to be, and how little of it is believed."""

import hashlib
import hmac
import json
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hubspot.utils.signature import Signature

from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.connectors.hubspot.webhooks import WEBHOOKS, find_account, parse
from syncline.connectors.webhooks import Delivery, WebhookEvent
from syncline.errors import Forged, Invalid

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
URL = "https://www.example.com/webhook_uri"
NOW_MS = 1_689_026_829_000
#: The sample of HubSpot's own documentation, whose signatures are published with it.
SAMPLE = (
    b'[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,'
    b'"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM",'
    b'"changeFlag":"NEW","appId":54321}]'
)
V1 = "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
V2_GET = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"
V2_POST = "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"
V3 = "afzxjGtA4iBlMNhgrBpEoA3luAcGp7dDyXF5ITZRzbM="


def v1(body: bytes = SAMPLE, secret: str = SECRET) -> Delivery:
    signature = hashlib.sha256(secret.encode() + body).hexdigest()
    return delivery(body, {"x-hubspot-signature": signature, "x-hubspot-signature-version": "v1"})


def v2(body: bytes = b'{"id":"5"}', url: str = URL) -> Delivery:
    signature = hashlib.sha256(f"{SECRET}POST{url}".encode() + body).hexdigest()
    return delivery(body, {"x-hubspot-signature": signature, "x-hubspot-signature-version": "v2"}, url)


def v3(
    body: bytes = SAMPLE, url: str = URL, *, sent_ms: int | str = NOW_MS, signed_url: str | None = None
) -> Delivery:
    """A delivery as HubSpot sends it: with v3, and with v1 beside it."""
    signed = f"POST{signed_url or url}".encode() + body + str(sent_ms).encode()
    signature = b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    more = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": str(sent_ms)}
    return delivery(body, {**v1(body).headers, **more}, url)


def delivery(body: bytes, headers: dict[str, str], url: str = URL, method: str = "POST") -> Delivery:
    return Delivery(method, url, headers, body, NOW_MS)


def with_headers(given: Delivery, **changes: str | None) -> Delivery:
    """Change headers by name with underscores; None takes one away."""
    headers = dict(given.headers)
    for name, value in changes.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    return replace(given, headers=headers)


def verify(given: Delivery, secret: str = SECRET) -> None:
    WEBHOOKS.verify(given, secret)


def event(kind: str, /, **more: Any) -> dict[str, Any]:
    return {
        "appId": 39522895,
        "attemptNumber": 0,
        "changeSource": "CRM_UI",
        "eventId": 60775291,
        "objectId": 508369434347,
        "occurredAt": 1782371969536,
        "portalId": 48975575,
        "sourceId": "userId:1",
        "subscriptionId": 6527595,
        "subscriptionType": kind,
        **more,
    }


def body_of(*events: Any) -> bytes:
    return json.dumps(events).encode()


def one(kind: str, /, **more: Any) -> WebhookEvent:
    [found] = parse(body_of(event(kind, **more)))
    return found


def test_the_platform_has_webhooks():
    assert HUBSPOT.webhooks is WEBHOOKS


# -- signatures


def test_the_published_samples_of_every_version_are_accepted():
    verify(delivery(SAMPLE, {"x-hubspot-signature": V1}))
    verify(delivery(SAMPLE, {"x-hubspot-signature": V1, "x-hubspot-signature-version": "v1"}))
    workflow = {"x-hubspot-signature-version": "v2"}
    verify(delivery(b"", {**workflow, "x-hubspot-signature": V2_GET}, method="GET"))
    verify(delivery(b'{"example_field":"example_value"}', {**workflow, "x-hubspot-signature": V2_POST}))
    times = {"x-hubspot-request-timestamp": str(NOW_MS)}
    verify(delivery(SAMPLE, {**times, "x-hubspot-signature-v3": V3}))


def test_what_hubspots_own_library_signs_is_accepted():
    url, body = "https://hub.example.com/hooks?tenant=b&x=1", SAMPLE.decode()
    for version in ("v1", "v2"):
        signature = Signature.get_signature(SECRET, body, version, url, "POST")
        headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}
        verify(delivery(SAMPLE, headers, url))
    signature = Signature.get_signature(SECRET, body, "v3", url, "POST", str(NOW_MS))
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": str(NOW_MS)}
    verify(delivery(SAMPLE, headers, url))


def test_a_v3_signature_counts_even_where_a_v1_is_there_and_right():
    with pytest.raises(Forged, match="v3 signature does not match"):
        verify(with_headers(v3(), x_hubspot_signature_v3="A" * 43 + "="))
    # And v1 is not looked at where v3 is there.
    verify(with_headers(v3(), x_hubspot_signature="0" * 64))


def test_a_v3_delivery_is_not_made_a_v1_one_by_taking_its_signature_away():
    with pytest.raises(Forged, match="time of a v3 signature, but not the signature"):
        verify(with_headers(v3(), x_hubspot_signature_v3=None))


@pytest.mark.parametrize(
    "encoded", ["%3A", "%2f", "%3F", "%40", "%21", "%27", "%28", "%29", "%2A", "%2C", "%3B", "%24"]
)
def test_an_address_is_decoded_as_hubspot_decodes_it_before_signing(encoded: str):
    decoded = bytes.fromhex(encoded[1:]).decode()
    verify(v3(url=f"{URL}?q=a{encoded}b", signed_url=f"{URL}?q=a{decoded}b"))
    with pytest.raises(Forged):
        verify(v3(url=f"{URL}?q=a{encoded}b"))


@pytest.mark.parametrize("kept", ["%20", "%25", "%26", "%3D", "%2B", "%C3%A9", "%253A", "+"])
def test_all_else_in_an_address_stays_encoded(kept: str):
    verify(v3(url=f"{URL}?q=a{kept}b"))


def test_the_bytes_as_they_came_are_what_is_signed():
    for body in (SAMPLE + b"\r\n", SAMPLE.replace(b'"CRM"', '"Ünïcode \U0001f600"'.encode()), b"\xff\xfe"):
        verify(v3(body))
        verify(v1(body))


def test_a_delivery_is_accepted_for_five_minutes_and_a_little_skew():
    for age_ms in (-60_000, 0, 299_999, 300_000):
        verify(v3(sent_ms=NOW_MS - age_ms))
    with pytest.raises(Forged, match="older than five minutes"):
        verify(v3(sent_ms=NOW_MS - 300_001))
    with pytest.raises(Forged, match="lies ahead"):
        verify(v3(sent_ms=NOW_MS + 60_001))


@pytest.mark.parametrize(
    "sent",
    ["", "soon", "1689026829", f" {NOW_MS}", f"{NOW_MS}.0", f"+{NOW_MS}", "1_689_026_829", "1" * 14, "1e12",
     str(NOW_MS).translate({ord(str(d)): 0x0660 + d for d in range(10)})],
)  # fmt: skip
def test_a_time_that_is_not_thirteen_plain_digits_is_none(sent: str):
    with pytest.raises(Forged, match="no time, or none that can be read"):
        verify(v3(sent_ms=sent))


def test_digits_cannot_move_from_the_time_to_the_body():
    genuine = v3(b'{"id":1}')
    moved = replace(genuine, body=genuine.body + b"1")
    with pytest.raises(Forged, match="none that can be read"):
        verify(with_headers(moved, x_hubspot_request_timestamp=str(NOW_MS)[1:]))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "has no signature"),
        ({"x-hubspot-signature": V1, "x-hubspot-signature-version": "v9"}, "version"),
        ({"x-hubspot-signature": V1, "x-hubspot-signature-version": "v3"}, "version"),
        ({"x-hubspot-signature": V1, "x-hubspot-signature-version": "v2"}, "v2 signature does not match"),
        ({"x-hubspot-signature": V1.upper()}, "v1 signature does not match"),
        ({"x-hubspot-signature": ""}, "v1 signature does not match"),
        ({"x-hubspot-signature": "ü\ud800"}, "v1 signature does not match"),
        ({"x-hubspot-signature-v3": V3}, "no time"),
        ({"x-hubspot-signature-v3": "", "x-hubspot-request-timestamp": str(NOW_MS)}, "v3 signature does not"),
    ],
)
def test_a_refusal_names_the_check_that_failed_and_no_value(headers: dict[str, str], says: str):
    with pytest.raises(Forged, match=says) as refused:
        verify(delivery(SAMPLE, headers))
    assert not any(value and value in str(refused.value) for value in (SECRET, V1, V3, URL, str(NOW_MS)))


def test_without_a_secret_nothing_is_accepted():
    # An empty key is one that everybody knows.
    signature = hashlib.sha256(SAMPLE).hexdigest()
    with pytest.raises(Forged, match="no client secret"):
        verify(delivery(SAMPLE, {"x-hubspot-signature": signature}), "")


def test_bytes_added_behind_a_plain_hash_are_no_delivery():
    # Whoever knows sha256(secret + body) can compute it for secret + body + padding + more.
    padding = b"\x80" + b"\0" * 9 + b"\x06\x70"
    for body in (SAMPLE + padding, SAMPLE + padding + b"[]", b'{"id":"5"}' + padding + b'{"id":"6"}'):
        with pytest.raises(Invalid):
            parse(body)


# -- 10,000 mutations


def _another(rng: random.Random, data: bytes) -> bytes:
    """Change, add, take away or swap something in bytes."""
    place = rng.randrange(len(data))
    way = rng.randrange(5)
    if way == 0:
        return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
    if way == 1:
        return data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:]
    if way == 2:
        return data[:place]
    if way == 3:
        return data[:place] + data[place + 1 :]
    return data + rng.choice((b" ", b"\n", b"[]", b"\0"))


def _other_text(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    # Another letter, not the same one in another case: of an escape that would be the same byte.
    letter = rng.choice([c for c in "abcxyz0189/+=?&" if c.lower() != text[place].lower()])
    before, behind = text[:place], text[place:]
    return rng.choice((before + letter + behind[1:], before + letter + behind, before, text + letter))


Mutation = Callable[[random.Random, Delivery], tuple[Delivery, str]]


def _body(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    changed = _another(rng, given.body)
    return replace(given, body=changed if changed != given.body else changed + b"]"), SECRET


def _url(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    return replace(given, url=_other_text(rng, given.url)), SECRET


def _method(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    return replace(given, method=rng.choice(("GET", "PUT", "post", "POS", ""))), SECRET


def _secret(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    return given, rng.choice((_other_text(rng, SECRET), SECRET[:-1], SECRET.upper(), "", " " + SECRET))


def _signature(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    """Change, or take away, the signature that counts."""
    name = next(n for n in ("x-hubspot-signature-v3", "x-hubspot-signature") if n in given.headers)
    value = given.headers[name]
    changed = rng.choice((_other_text(rng, value), value[::-1], value.swapcase(), "", None))
    return with_headers(given, **{name.replace("-", "_"): changed}), SECRET


def _version(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    there = given.headers["x-hubspot-signature-version"]
    other = [
        each for each in ("v1", "v2", "v3", "V1", "1", "", None) if (each or "v1") != there or each == ""
    ]
    return with_headers(given, x_hubspot_signature_version=rng.choice(other)), SECRET


def _time(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    sent = int(given.headers["x-hubspot-request-timestamp"])
    other = rng.choice(
        (
            sent + rng.choice((-1, 1)) * rng.randrange(1, 10 ** rng.randrange(1, 13)),
            f"{sent}0",
            f" {sent}",
            None,
        )
    )
    return with_headers(given, x_hubspot_request_timestamp=None if other is None else str(other)), SECRET


def _replayed(rng: random.Random, given: Delivery) -> tuple[Delivery, str]:
    return replace(given, received_ms=given.received_ms + 300_001 + rng.randrange(10**10)), SECRET


#: What each version signs; v1 knows neither the address nor the time.
SIGNED: dict[str, tuple[Mutation, ...]] = {
    "v3": (_body, _url, _method, _secret, _signature, _time, _replayed),
    "v2": (_body, _url, _method, _secret, _signature, _version),
    "v1": (_body, _secret, _signature, _version),
}


def test_of_ten_thousand_mutated_deliveries_none_is_accepted():
    rng = random.Random(20261121)
    genuine: dict[str, Callable[[bytes], Delivery]] = {
        "v3": lambda body: v3(body, URL + "?a=%3A%20b", signed_url=URL + "?a=:%20b"),
        "v2": lambda body: v2(body, URL + "?a=%3A%20b"),
        "v1": v1,
    }
    accepted: list[tuple[str, Delivery]] = []
    for turn in range(10_000):
        version = rng.choice(tuple(SIGNED))
        body = SAMPLE if version != "v2" else b'{"id":"512","archived":false}'
        given = genuine[version](body + b" " * rng.randrange(3))
        if turn % 100 == 0:
            verify(given)
        mutated, secret = rng.choice(SIGNED[version])(rng, given)
        try:
            verify(mutated, secret)
        except Forged:
            continue
        accepted.append((version, mutated))
    assert accepted == []


# -- events


@pytest.mark.parametrize(
    ("word", "name"),
    [("contact", "contacts"), ("company", "companies"), ("deal", "deals"), ("ticket", "tickets"),
     ("product", "products"), ("line_item", "line_items")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("what", "kind"),
    [("creation", "changed"), ("propertyChange", "changed"), ("deletion", "archived"),
     ("restore", "restored")],
)  # fmt: skip
def test_events_of_the_numbered_form_become_hints(word: str, name: str, what: str, kind: str):
    found = one(f"{word}.{what}", propertyName="firstname", propertyValue="Ann")
    assert (found.account_id, found.object, found.remote_id) == ("48975575", name, "508369434347")
    assert (found.kind, found.occurred_ms) == (kind, 1782371969536)
    assert (found.merged_ids, found.other) == ((), None)


@pytest.mark.parametrize(
    ("type_id", "name"),
    [("0-1", "contacts"), ("0-2", "companies"), ("0-3", "deals"), ("0-27", "tasks"), ("0-46", "notes"),
     ("0-47", "meetings"), ("0-48", "calls"), ("0-49", "emails"), ("0-136", "leads"),
     ("2-45678901", "2-45678901"), ("0-999", ""), ("", ""), ("2-x\u0000", "")],
)  # fmt: skip
def test_events_of_the_newer_form_are_named_by_their_type(type_id: str, name: str):
    found = one("object.propertyChange", objectTypeId=type_id, propertyName="p", isSensitive=False)
    assert (found.object, found.kind, found.remote_id) == (name, "changed", "508369434347")


def test_a_merge_names_the_survivor_and_who_became_it():
    more = {"primaryObjectId": 123, "mergedObjectIds": [456, 789], "numberOfPropertiesMoved": 12}
    found = one("contact.merge", objectId=123, newObjectId=999, **more)
    assert (found.kind, found.remote_id, found.merged_ids) == ("merged", "999", ("456", "789", "123"))
    # Without a new id the primary record lives on.
    kept = one("company.merge", objectId=123, **more)
    assert (kept.remote_id, kept.merged_ids) == ("123", ("456", "789"))
    generic = one("object.merge", objectTypeId="0-3", objectId=999, newObjectId=999, **more)
    assert (generic.object, generic.remote_id, generic.merged_ids) == ("deals", "999", ("456", "789", "123"))


@pytest.mark.parametrize(
    ("kind", "association", "other"),
    [("deal", "DEAL_TO_LINE_ITEM", "line_items"), ("contact", "CONTACT_TO_COMPANY", "companies"),
     ("line_item", "LINE_ITEM_TO_DEAL", "deals"), ("contact", "CONTACT_TO_MEETING_EVENT", "meetings"),
     ("contact", "CONTACT_TO_SPACESHIP", "")],
)  # fmt: skip
def test_an_association_has_two_sides_and_no_record_of_its_own(kind: str, association: str, other: str):
    told = event(f"{kind}.associationChange", associationType=association, fromObjectId=7, toObjectId=8)
    del told["objectId"]
    [found] = parse(body_of(told))
    assert (found.kind, found.remote_id, found.other) == ("associated", "7", (other, "8"))


def test_an_association_of_the_newer_form_names_both_types():
    told = event(
        "object.associationChange", fromObjectTypeId="0-1", toObjectTypeId="2-45678901", fromObjectId=7,
        toObjectId=8, associationTypeId=31, associationCategory="USER_DEFINED", associationRemoved=True,
    )  # fmt: skip
    del told["objectId"]
    [found] = parse(body_of(told))
    assert (found.object, found.remote_id, found.other) == ("contacts", "7", ("2-45678901", "8"))


def test_erasure_for_privacy_is_its_own_kind():
    assert one("contact.privacyDeletion").kind == "erased"


def test_an_event_delivered_again_has_the_same_id_and_another_event_has_not():
    first = one("contact.propertyChange", propertyName="email", propertyValue="a@example.com")
    assert one("contact.propertyChange", propertyName="email", attemptNumber=3).event_id == first.event_id
    others = [
        one("contact.propertyChange", propertyName="email", **{name: 5})
        for name in ("eventId", "objectId", "subscriptionId", "occurredAt")
    ]
    others += [one("contact.propertyChange", propertyName="phone"), one("contact.creation")]
    assert len({first.event_id, *(each.event_id for each in others)}) == 7
    ends = {"associationType": "DEAL_TO_CONTACT", "fromObjectId": 7}
    pairs = [one("deal.associationChange", toObjectId=to, **ends) for to in (8, 9)]
    assert pairs[0].event_id != pairs[1].event_id


def test_an_event_without_an_id_says_so():
    told = event("contact.creation")
    del told["eventId"]
    assert parse(body_of(told))[0].event_id == ""


@pytest.mark.parametrize("name", ["a\u0000b", "x" * 5000, "größe", "a\nb"])
def test_no_property_name_breaks_the_event_s_id(name: str):
    found = one("contact.propertyChange", propertyName=name)
    assert len(found.event_id) < 250
    assert found.event_id.isascii()
    assert found.event_id.isprintable()


def test_values_are_not_in_what_is_read():
    found = one("contact.propertyChange", propertyName="email", propertyValue="ann@example.com")
    assert "ann@example.com" not in repr(found)


def test_a_hundred_events_are_read_in_their_order():
    found = parse(body_of(*(event("contact.creation", objectId=number) for number in range(1, 101))))
    assert [each.remote_id for each in found] == [str(number) for number in range(1, 101)]


@pytest.mark.parametrize(
    "unknown",
    [event("conversation.newMessage", objectId="thread-é"), event("event.completed", portalId="none"),
     {"subscriptionType": "contact.dreamt"}, event("planet.creation", occurredAt=None),
     event("conversation.privacyDeletion")],
)  # fmt: skip
def test_kinds_that_are_not_known_are_passed_over_whatever_is_in_them(unknown: dict[str, Any]):
    found = parse(body_of(event("contact.creation", objectId=1), unknown, event("deal.deletion", objectId=2)))
    assert [(each.object, each.remote_id) for each in found] == [("contacts", "1"), ("deals", "2")]


def test_the_name_that_the_documentation_gives_the_kind_is_read_as_well():
    told = event("x", eventType="deal.deletion")
    del told["subscriptionType"]
    [found] = parse(body_of(told))
    assert (found.object, found.kind) == ("deals", "archived")


def test_ids_are_read_as_numbers_and_as_text():
    found = one("contact.creation", objectId="512", portalId="62515", eventId="ab-1")
    assert (found.remote_id, found.account_id) == ("512", "62515")


def test_nothing_delivered_is_nothing_told():
    assert parse(b"[]") == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"7", b'"[]"', b"\xff", b"[", b"[{}]", b"[7]", b"[null]", b"{}", b'{"id":null}',
        b"[" * 200_000, b'{"a":' * 200_000, b'[{"portalId":1,"x":' + b"[" * 200_000,
        SAMPLE[:-1], SAMPLE[:-40], SAMPLE + b"]", SAMPLE + SAMPLE, b"<html></html>", b'{"id":"../1"}',
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_no_delivery_is_refused(body: bytes):
    with pytest.raises(Invalid, match="none of HubSpot's"):
        parse(body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"objectId": "abc"}, {"objectId": -1}, {"objectId": 0}, {"objectId": 10**20}, {"objectId": 1.5},
        {"objectId": None}, {"objectId": [1]}, {"objectId": "1\n"}, {"objectId": "\u0661"},
        {"portalId": None}, {"portalId": "x"}, {"occurredAt": "yesterday"}, {"occurredAt": -1},
        {"occurredAt": 10**16},
        {"subscriptionType": 7}, {"subscriptionType": ""}, {"eventId": "a\u0000"}, {"eventId": {}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_known_event_of_the_wrong_form_makes_the_delivery_invalid(wrong: dict[str, Any]):
    with pytest.raises(Invalid, match="none of HubSpot's") as refused:
        parse(body_of(event("contact.creation"), event("contact.creation") | wrong))
    assert "abc" not in str(refused.value)


def test_an_association_or_merge_that_names_nobody_is_invalid():
    for told in (
        event("deal.associationChange", associationType="DEAL_TO_CONTACT", fromObjectId=7),
        event("deal.associationChange", associationType="DEAL_TO_CONTACT", toObjectId=7),
        event("deal.merge", objectId=None),
    ):
        with pytest.raises(Invalid):
            parse(body_of(told))


def test_random_bodies_give_events_or_invalid_and_nothing_else():
    rng = random.Random(7)
    told = body_of(
        event("contact.merge", mergedObjectIds=[4, 5], newObjectId=6),
        event("object.associationChange", fromObjectTypeId="0-1", fromObjectId=7, toObjectId=8),
    )
    for start in (told, SAMPLE, b'{"id":"512","updatedAt":"2026-01-01T00:00:00Z","properties":{}}'):
        for _ in range(1000):
            body = start
            for _ in range(rng.randrange(1, 4)):
                body = _another(rng, body) or b"x"
            find_account(body)
            try:
                parse(body)
            except Invalid:
                continue


# -- accounts


def test_the_account_is_found_where_all_events_are_of_one():
    assert find_account(SAMPLE) == "62515"
    assert find_account(body_of(event("contact.creation"), event("x.y", portalId="48975575"))) == "48975575"
    assert find_account(body_of(event("contact.creation"), event("contact.creation", portalId=3))) is None
    assert find_account(b'{"portalId": 62515, "objectId": 3}') == "62515"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[{}]", b'[{"portalId":"x"}]', b"\xff", b"[" * 200_000])
def test_no_account_is_found_in_what_names_none(body: bytes):
    assert find_account(body) is None


# -- workflows


def test_a_workflow_s_record_is_a_hint():
    record = {
        "id": "512",
        "properties": {"email": "ann@example.com", "hs_object_id": "512"},
        "createdAt": "2022-02-17T18:54:22.300Z",
        "updatedAt": "2022-02-17T18:54:22.305Z",
        "archived": False,
        "url": "https://app-eu1.hubspot.com/contacts/62515/record/0-3/512",
    }
    body = json.dumps(record).encode()
    [found] = parse(body)
    assert found == WebhookEvent("", "62515", "deals", "512", "changed", 1_645_124_062_305)
    assert find_account(body) == "62515"
    [archived] = parse(json.dumps(record | {"archived": True}).encode())
    assert archived.kind == "archived"


def test_a_workflow_s_record_in_its_older_forms_is_read_too():
    old = {
        "vid": 512,
        "portal-id": 62515,
        "properties": {"lastmodifieddate": {"value": "1645124062305", "versions": []}},
    }
    [found] = parse(json.dumps(old).encode())
    assert found == WebhookEvent("", "62515", "contacts", "512", "changed", 1_645_124_062_305)
    [typed] = parse(b'{"objectId":512,"objectType":"COMPANY","portalId":62515,"properties":null}')
    assert (typed.object, typed.remote_id, typed.occurred_ms) == ("companies", "512", 0)
    [bare] = parse(b'{"properties":{"hs_object_id":"512","hs_lastmodifieddate":"2022-02-17T18:54:22.305Z"}}')
    assert (bare.object, bare.account_id, bare.occurred_ms) == ("", "", 1_645_124_062_305)
