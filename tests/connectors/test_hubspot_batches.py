"""Answers to a batch as others have seen them, which the simulator does not give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from writing_hubspot import change, create

from syncline.connectors.hubspot.failures import explain_failure
from syncline.connectors.registry import get_platform
from syncline.connectors.transport import Request, Response
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.errors import AlreadyExists, LeaseLost, NotFound, RateLimited, RecordRejected, Unavailable

pytestmark = pytest.mark.anyio

OWN_ID = {"name": "syncline_record_id", "type": "string", "hasUniqueValue": True}

#: Inputs of a batch → (status, body).
Answering = Callable[[list[dict[str, Any]]], tuple[int, Any]]


async def write(
    writes: list[RemoteWrite], answering: Answering, *, unique: bool = True
) -> tuple[list[WriteOutcome], list[Request]]:
    requests: list[Request] = []

    async def send(request: Request) -> Response:
        if request.method == "GET":
            return Response(200, {}, json.dumps({"results": [OWN_ID] if unique else []}).encode())
        requests.append(request)
        status, body = answering(request.json["inputs"])
        text = json.dumps(body).encode()
        if status >= 300:
            raise explain_failure(status, {}, text)
        return Response(status, {}, text)

    outcomes = await get_platform("hubspot").make(send, {}).write_many("contacts", writes)
    return outcomes, requests


def done(one: dict[str, Any], number: int = 0, **more: Any) -> dict[str, Any]:
    remote_id = one["id"] if one.get("id", "").isdigit() else str(900 + number)
    return {"id": remote_id, "properties": one["properties"], **more}


def error(message: str, category: str | None = "VALIDATION_ERROR", **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": message, "category": category, **more}


def kinds(outcomes: list[WriteOutcome]) -> list[type[Exception] | None]:
    return [None if each.failure is None else type(each.failure) for each in outcomes]


async def test_results_without_trace_ids_are_known_by_id_and_by_our_own_id():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        return 200, {"results": [done(one, number, new=True) for number, one in enumerate(inputs)][::-1]}

    outcomes, _ = await write([create(1), change(5, phone="1"), create(2)], answering)
    assert kinds(outcomes) == [None, None, None]
    assert [each.remote_id for each in outcomes] == ["900", "5", "901"]


async def test_an_error_that_names_nobody_is_pinned_down_by_sending_halves():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        good = [one for one in inputs if one["id"] != "3"]
        if len(inputs) == 1 and not good:
            return 207, {"results": [], "numErrors": 1, "errors": [error("that is wrong")]}
        if len(good) < len(inputs):  # nothing is done, and nobody named
            return 207, {"results": [], "numErrors": 1, "errors": [error("something is wrong")]}
        return 200, {"results": [done(one) for one in good]}

    outcomes, requests = await write([change(each, phone="1") for each in range(8)], answering)
    assert kinds(outcomes) == [None, None, None, RecordRejected, None, None, None, None]
    assert "that is wrong" in str(outcomes[3].failure)
    assert len(requests) == 7


async def test_more_errors_counted_than_listed_are_looked_for():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        good = [done(one) for one in inputs if one["id"] not in {"1", "2"}]
        if len(good) == len(inputs):
            return 200, {"results": good}
        return 207, {"results": good, "numErrors": len(inputs) - len(good), "errors": []}

    outcomes, _ = await write([change(each, phone="1") for each in range(4)], answering)
    assert kinds(outcomes) == [None, RecordRejected, RecordRejected, None]


async def test_what_is_wrong_is_read_from_the_message_where_it_stands_only_there():
    listed = json.dumps(
        [{"isValid": False, "message": "jo@x is invalid", "error": "INVALID_EMAIL", "name": "email"}]
    )

    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        context = {"objectWriteTraceId": [inputs[0]["objectWriteTraceId"]]}
        return 207, {"results": [], "errors": [error(f"Values were not valid: {listed}", context=context)]}

    [outcome], _ = await write([change(1, email="jo@x")], answering)
    words = str(outcome.failure)
    assert "email: " in words
    assert "INVALID_EMAIL" in words
    assert "jo@x" not in words


async def test_a_conflict_names_the_record_in_the_context_or_in_words_or_not_at_all():
    errors = [
        error("Contact already exists", "CONFLICT", context={"existingId": ["77"]}),
        error("Contact already exists. Existing ID: 78", "CONFLICT"),
        error("Contact already exists", "CONFLICT"),
    ]

    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        for one, each in zip(inputs, errors, strict=True):
            each["context"] = {**each.get("context", {}), "objectWriteTraceId": [one["objectWriteTraceId"]]}
        return 207, {"results": [], "errors": errors}

    outcomes, _ = await write([create(each) for each in range(3)], answering)
    assert kinds(outcomes) == [AlreadyExists] * 3
    assert [each.existing_id for each in outcomes] == ["77", "78", None]
    single, _ = await write([create(1)], lambda inputs: (409, errors[1]))
    assert (kinds(single), single[0].existing_id) == ([AlreadyExists], "78")


async def test_a_momentary_error_of_one_record_is_to_be_tried_again():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        errors = [
            error(words, category, context={"ids": [one["id"]]})
            for one, words, category in zip(
                inputs, ("wait", "oops"), ("RATE_LIMITS", "INTERNAL_ERROR"), strict=True
            )
        ]
        return 207, {"results": [], "errors": errors}

    outcomes, _ = await write([change(1, phone="1"), change(2, phone="1")], answering)
    assert kinds(outcomes) == [RateLimited, Unavailable]
    assert [each.unwritten for each in outcomes] == [True, False]


async def test_a_plain_create_that_cannot_be_told_from_others_is_never_sent_again():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        return 207, {"results": [{"id": "1", "properties": {}}], "numErrors": 1, "errors": [error("bad")]}

    outcomes, requests = await write([create(1), create(2)], answering, unique=False)
    assert kinds(outcomes) == [Unavailable, Unavailable]
    assert not any(each.unwritten for each in outcomes)
    assert len(requests) == 1


async def test_an_answer_that_passes_over_a_create_leaves_it_open():
    outcomes, _ = await write([create(1)], lambda inputs: (200, {"results": []}))
    assert kinds(outcomes) == [Unavailable]
    assert not outcomes[0].unwritten


async def test_a_whole_batch_not_found_is_halved_down_to_the_one_that_is_gone():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        if any(one["id"] == "2" for one in inputs):
            return 404, error("Object not found", "OBJECT_NOT_FOUND")
        return 200, {"results": [done(one) for one in inputs]}

    outcomes, _ = await write([change(each, phone="1") for each in range(4)], answering)
    assert kinds(outcomes) == [None, None, NotFound, None]


async def test_a_worker_that_lost_its_lease_stops_at_once():
    calls = 0

    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LeaseLost
        return 200, {"results": [done(one) for one in inputs]}

    with pytest.raises(LeaseLost):
        await write([change(1, phone="1"), create(1)], answering)
    assert calls == 2


async def test_one_entry_that_stands_for_several_missing_ids_does_not_make_a_merged_one_refused():
    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        missing = [one["id"] for one in inputs if one["id"] in {"1", "2"}]
        results = [done(one) for one in inputs if one["id"] not in {"1", "2", "3"}]
        if not missing:
            return 200, {"results": results}
        errors = [error("Could not get some", "OBJECT_NOT_FOUND", context={"ids": missing})]
        return 207, {"results": results, "numErrors": len(missing), "errors": errors}

    outcomes, _ = await write([change(each, phone="1") for each in range(5)], answering)
    assert kinds(outcomes) == [None, NotFound, NotFound, NotFound, None]


async def test_the_words_of_one_record_hold_no_value_of_another():
    refused = error(
        "not valid",
        errors=[
            {
                "message": "jo at x is no address",
                "code": "INVALID_EMAIL",
                "context": {"propertyName": ["email"]},
            },
            {
                "message": "does not exist",
                "code": "PROPERTY_DOESNT_EXIST",
                "context": {"propertyName": ["old"]},
            },
        ],
    )

    def answering(inputs: list[dict[str, Any]]) -> tuple[int, Any]:
        good = [one for one in inputs if one["properties"].keys() <= {"phone"}]
        return (
            (200, {"results": [done(one) for one in inputs]}) if len(good) == len(inputs) else (400, refused)
        )

    writes = [change(1, email="jo at x"), change(2, old="1"), change(3, phone="1")]
    outcomes, _ = await write(writes, answering)
    assert kinds(outcomes) == [RecordRejected, RecordRejected, None]
    assert "jo at x" not in str(outcomes[0].failure) + str(outcomes[1].failure)
    assert "old: does not exist (PROPERTY_DOESNT_EXIST)" in str(outcomes[1].failure)
