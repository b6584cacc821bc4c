"""What a create at Pipedrive may have made, found by what it holds, however Pipedrive rewrites that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tiny_pipedrive import Tiny, ok

from syncline.connectors.pipedrive.decode import recall
from syncline.connectors.pipedrive.likeness import find_likeness
from syncline.connectors.transport import Request
from syncline.connectors.writes import RemoteWrite
from syncline.errors import Unavailable

pytestmark = pytest.mark.anyio

ACTIVITIES, NOTES, ME = "/api/v2/activities", "/v1/notes", "/v1/users/me"
USER = {"id": 7, "company_id": 1}
#: 2026-11-21 12:00:00 UTC
SINCE_MS = 1_795_262_400_000


def activity(record_id: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "id": record_id, "subject": "A call", "type": "call", "owner_id": 7, "creator_user_id": 7,
        "add_time": "2026-11-21T12:00:01Z", "update_time": "2026-11-21T12:00:01Z", "deal_id": None,
        "person_id": 5, "org_id": None, "lead_id": None, "project_id": None, "due_date": "2026-11-20",
        "due_time": "10:15:42", "duration": "00:01:35", "done": True, "note": None, "is_deleted": False,
    } | values  # fmt: skip


def note(record_id: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "id": record_id, "content": "A note", "user_id": 7, "deal_id": 3, "person_id": None, "org_id": None,
        "lead_id": None, "project_id": None, "add_time": "2026-11-21 12:00:01", "active_flag": True,
        "update_time": "2026-11-21 12:00:01",
    } | values  # fmt: skip


def call_sent(key: str = "k", **properties: str | None) -> RemoteWrite:
    sent: dict[str, str | None] = {
        "subject": "A call", "kind": "call", "happens_at": "2026-11-20T10:15:42.000Z", "duration_ms": "95000",
    }  # fmt: skip
    return RemoteWrite(key, None, sent | properties, key, {"persons": "5"})


def note_sent(key: str = "k", **properties: str | None) -> RemoteWrite:
    return RemoteWrite(key, None, {"content": "A note"} | properties, key, {"deals": "3"})


def is_like(name: str, sent: RemoteWrite, data: dict[str, Any]) -> bool:
    return find_likeness(name, sent, recall(name, msgspec.json.encode(data))) is not None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("A & B", "A &amp; B"),
        ("one<br>two", "one<br />two"),
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        ("<b>bold</b> <script>run()</script>", "<b>bold</b>"),
        ("<a href='x' onclick=\"y\">go</a>", '<a href="x" rel="noopener">go</a>'),
        ("1 < 2 and a<b", "1 &lt; 2 and a&lt;b"),
        ("Caf\u00e9\u00a0au lait", "Cafe\u0301 au lait"),
        ("  spaces   all over ", "spaces all over"),
    ],
)
def test_a_note_is_known_however_its_html_is_rewritten(sent: str, kept: str):
    assert is_like("notes", note_sent(content=sent), note(content=kept))
    assert is_like("activities", call_sent(note=sent), activity(note=kept))


@pytest.mark.parametrize(
    ("sent", "kept"), [("A note", "A note!"), ("A note", ""), ("no", "on"), ("a<b>c</b>", "ac<b>c</b>")]
)
def test_other_words_are_another_note(sent: str, kept: str):
    assert not is_like("notes", note_sent(content=sent), note(content=kept))


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"due_time": "10:15:00", "duration": "00:01:00"},
        {"due_time": "10:15", "duration": "00:01"},
        {"subject": "A  call "},
        {"owner_id": 9},
        {"done": False},
        {"org_id": 8},
        {"location": {"value": "Somewhere"}},
    ],
)
def test_an_activity_is_known_by_what_it_is(kept: dict[str, Any]):
    assert is_like("activities", call_sent(), activity(**kept))


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "Another call"},
        {"type": "meeting"},
        {"due_date": "2026-11-21"},
        {"due_date": None, "due_time": None},
        {"due_time": "10:17:00"},
        {"duration": "00:03:00"},
        {"duration": None},
        {"note": "Somebody has written something"},
        {"person_id": 6},
        {"person_id": None},
    ],
)
def test_what_differs_in_anything_else_is_another_activity(other: dict[str, Any]):
    assert not is_like("activities", call_sent(), activity(**other))


def test_what_was_made_alone_belongs_to_nobody():
    alone = RemoteWrite("k", None, call_sent().properties, "k")
    assert is_like("activities", alone, activity(person_id=None))
    assert not is_like("activities", alone, activity())


def test_what_is_alike_is_named_and_what_may_differ_is_not():
    record = recall("activities", msgspec.json.encode(activity()))
    sent = call_sent(owner_id="7", location="Here")
    assert find_likeness("activities", sent, record) == {"subject", "kind", "happens_at", "duration_ms"}


async def test_activities_are_looked_for_among_those_made_since_the_latest_first():
    def lists(request: Request) -> Any:
        assert request.query["sort_by"] == "add_time"
        assert request.query["sort_direction"] == "desc"
        if "cursor" not in request.query:
            return 200, ok([activity(4), activity(3, type="task")], "more")
        return 200, ok([activity(2), activity(1, add_time="2026-11-21T11:00:00Z")], "and more")

    tiny = Tiny({("GET", ME): ok(USER), ("GET", ACTIVITIES): lists})
    found = await tiny.connector.find_made(
        "activities", [call_sent("a"), call_sent("b", subject="No")], (), SINCE_MS
    )
    assert {key: [each.remote_id for each in made] for key, made in found.items()} == {"a": ["2", "4"]}
    assert tiny.cost == 2 + 10 + 10


async def test_a_page_without_any_task_does_not_end_the_search_for_tasks():
    pages = [
        (200, ok([activity(9)], "one")),
        (200, ok([activity(8, type="task", add_time="2026-11-21T12:00:00Z")], "two")),
        (200, ok([activity(7, add_time="2026-11-20T12:00:00Z")], "three")),
    ]
    tiny = Tiny({("GET", ME): ok(USER), ("GET", ACTIVITIES): pages})
    sent = RemoteWrite("t", None, {"subject": "A call"}, "t", {"persons": "5"})
    found = await tiny.connector.find_made("tasks", [sent], (), SINCE_MS)
    assert [each.remote_id for each in found["t"]] == ["8"]


async def test_what_another_user_made_is_not_ours():
    rows = [activity(1, creator_user_id=8), activity(2)]
    tiny = Tiny({("GET", ME): ok(USER), ("GET", ACTIVITIES): ok(rows)})
    found = await tiny.connector.find_made("activities", [call_sent()], (), SINCE_MS)
    assert [each.remote_id for each in found["k"]] == ["2"]


async def test_notes_are_looked_for_with_what_they_belong_to():
    def lists(request: Request) -> Any:
        assert request.query["deal_id"] == "3"
        rows = [
            note(1, add_time="2020-01-02 03:04:05"),
            note(2),
            note(3, user_id=8),
            note(4, active_flag=False),
            note(5, add_time="2026-11-21 10:00:00"),
        ]
        return 200, ok(rows)

    tiny = Tiny({("GET", ME): ok(USER), ("GET", NOTES): lists})
    dated = note_sent("dated", add_time="2020-01-02T03:04:05.678Z")
    by_another = note_sent("other", user_id="8")
    both = RemoteWrite("both", None, note_sent().properties, "both", {"persons": "9", "deals": "3"})
    found = await tiny.connector.find_made("notes", [dated, by_another, both], (), SINCE_MS)
    assert {key: [each.remote_id for each in made] for key, made in found.items()} == {
        "dated": ["1", "2"],
        "other": ["2", "3"],
    }
    assert tiny.cost == 2 + 20


async def test_a_list_that_goes_in_a_circle_proves_nothing():
    tiny = Tiny({("GET", ME): ok(USER), ("GET", ACTIVITIES): ok([activity(2)], "again")})
    with pytest.raises(Unavailable):
        await tiny.connector.find_made("activities", [call_sent()], (), SINCE_MS)


async def test_a_note_is_made_of_its_deal_and_at_its_time():
    tiny = Tiny({("POST", NOTES): ok(note(1, add_time="2020-01-02 03:04:05"))})
    [outcome] = await tiny.connector.write_many("notes", [note_sent(add_time="2020-01-02T03:04:05.678Z")])
    assert tiny.bodies("POST") == [{"content": "A note", "add_time": "2020-01-02 03:04:05", "deal_id": 3}]
    assert outcome.remote_id == "1"
    assert [each.idempotent for each in tiny.requests] == [False]


@pytest.mark.parametrize(
    "refusal",
    [
        (403, {"success": False, "error": "You do not have permission to do this."}),
        (400, {"success": False, "error": "add_time is not allowed"}),
    ],
)
async def test_where_a_note_may_not_be_dated_it_is_made_undated(refusal: Any):
    tiny = Tiny({("POST", NOTES): [refusal, (200, ok(note(1)))]})
    [outcome] = await tiny.connector.write_many("notes", [note_sent(add_time="2020-01-02T03:04:05.678Z")])
    assert outcome.failure is None
    assert "add_time" not in tiny.bodies("POST")[1]


async def test_an_activitys_person_is_its_primary_participant():
    tiny = Tiny({("POST", ACTIVITIES): ok(activity())})
    sent = RemoteWrite(
        "k", None, call_sent().properties, "k", {"persons": "5", "deals": "3", "organizations": "8"}
    )
    await tiny.connector.write_many("activities", [sent])
    [body] = tiny.bodies("POST")
    assert body["participants"] == [{"person_id": 5, "primary": True}]
    assert (body["deal_id"], body["org_id"]) == (3, 8)
    assert "person_id" not in body
    assert tiny.cost == 5  # and no field is asked for
