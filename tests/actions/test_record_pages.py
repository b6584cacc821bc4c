"""Lists of records: filters say what they say, pages hold while records change, nobody sees too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk, names

from syncline.actions import record_pages, records
from syncline.actions.hub import Hub
from syncline.actions.record_pages import Wanted
from syncline.domain.filters import BY_TYPE, Filter, make_filter, read_filter, read_place, read_sort
from syncline.domain.record_fields import RECORD_FIELDS, FieldKind
from syncline.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio
DEAL = RECORD_FIELDS["deal"]


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    return await make_desk(hub)


async def make_deals(desk: Desk, count: int = 60) -> dict[UUID, dict[str, Any]]:
    """Make deals whose values are often alike, often missing, and differ in case only."""
    chance = random.Random(5)
    made: dict[UUID, dict[str, Any]] = {}
    for _ in range(count):
        row: dict[str, Any] = {
            "name": chance.choice(["Oven", "oven", "Öfen", "Bread 100%", "a_b", "", None]),
            "amount": chance.choice(
                [None, Decimal(0), Decimal("10.5"), Decimal(10), Decimal(-3), Decimal(10**20)]
            ),
            "expected_close_date": chance.choice([None, date(2026, 1, 31), date(2026, 2, 1)]),
            "closed_at": chance.choice(
                [None, datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
            ),
            "owner_id": chance.choice([None, desk.mine, desk.theirs]),
            "created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(5)),
        }
        made[await desk.rows.insert("deal", **row)] = row
    return made


VALUES: dict[str, list[Any]] = {
    "name": ["Oven", "OVEN", "ö", "%", "_", "100%"],
    "amount": [Decimal(10), Decimal("10.50"), Decimal(0), Decimal(11)],
    "expected_close_date": ["2026-01-31", "2026-02-02"],
    "closed_at": ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2025-01-01T00:00:00Z"],
}
ORACLE: dict[str, Callable[[Any, Sequence[Any]], bool]] = {
    "eq": lambda have, want: have is not None and have == want[0],
    "ne": lambda have, want: have != want[0],
    "in": lambda have, want: have is not None and have in want,
    "contains": lambda have, want: have is not None and want[0].lower() in have.lower(),
    "starts": lambda have, want: have is not None and have.lower().startswith(want[0].lower()),
    "gt": lambda have, want: have is not None and have > want[0],
    "gte": lambda have, want: have is not None and have >= want[0],
    "lt": lambda have, want: have is not None and have < want[0],
    "lte": lambda have, want: have is not None and have <= want[0],
    "between": lambda have, want: have is not None and want[0] <= have <= want[1],
    "empty": lambda have, want: have is None or have == "",
    "filled": lambda have, want: have is not None and have != "",
}


def as_python(kind: FieldKind, value: Any) -> Any:
    if kind == "time":
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if kind == "date" else value


async def list_ids(desk: Desk, wanted: Wanted, kind: str = "deal", *, limit: int = 200) -> set[UUID]:
    page = await record_pages.list_records(desk.hub, desk.manager, kind, wanted, limit=limit)
    return {each.id for each in page.records}


async def test_every_operator_finds_what_an_oracle_finds(desk: Desk):
    made = await make_deals(desk)
    checked = 0
    for name, given in VALUES.items():
        kind = DEAL.fields[name].type
        for op in BY_TYPE[kind]:
            count = {"empty": 0, "filled": 0, "between": 2, "in": 2}.get(op, 1)
            for start in range(len(given) - count + 1):
                values = given[start : start + count]
                found = await list_ids(desk, Wanted((make_filter(DEAL, name, op, values),)))
                want = [as_python(kind, each) for each in values]
                assert found == {each for each, row in made.items() if ORACLE[op](row[name], want)}, (
                    name,
                    op,
                    values,
                )
                checked += 1
    assert checked > 60


async def test_references_are_compared_and_can_be_missing(desk: Desk):
    made = await make_deals(desk, 12)
    for op, values in (
        ("eq", [desk.mine]),
        ("ne", [desk.mine]),
        ("in", [desk.mine, desk.theirs]),
        ("empty", []),
    ):
        found = await list_ids(
            desk, Wanted((make_filter(DEAL, "owner_id", op, [str(each) for each in values]),))
        )
        assert found == {each for each, row in made.items() if ORACLE[op](row["owner_id"], values)}


async def test_an_address_is_the_same_in_any_case_and_found_by_how_it_begins(desk: Desk):
    ada = await desk.rows.insert("contact", email="Ada@Example.com")
    await desk.rows.insert("contact", email="adam@example.org")
    await desk.rows.insert("contact", first_name="Nobody")
    contact = RECORD_FIELDS["contact"]
    for text in ("email:eq: ada@example.COM", "email:starts:ADA@", "email:in:ada@example.com,x@example.com"):
        assert await list_ids(desk, Wanted((read_filter(contact, text),)), "contact") == {ada}
    assert len(await list_ids(desk, Wanted((read_filter(contact, "email:starts:ada"),)), "contact")) == 2
    assert (
        len(await list_ids(desk, Wanted((read_filter(contact, "email:contains:EXAMPLE"),)), "contact")) == 2
    )


async def test_custom_fields_and_connections_filter_as_well(desk: Desk):
    main = await desk.rows.connect("main")
    linked = await desk.rows.insert("contact", custom_fields='{"tier": 2, "note": "gold"}')
    await desk.rows.link(main, "contact", linked, "1", {})
    other = await desk.rows.insert("contact", first_name="x")
    contact = RECORD_FIELDS["contact"]
    for text, found in {
        "custom_fields.tier:eq:2": {linked},
        "custom_fields.note:contains:OLD": {linked},
        "custom_fields.note:empty": {other},
        "connection:eq:main": {linked},
        "connection:eq:nowhere": set[UUID](),
        "connection:ne:main": {other},
        "connection:filled": {linked},
        "connection:empty": {other},
    }.items():
        assert await list_ids(desk, Wanted((read_filter(contact, text),)), "contact") == found, text


async def walk(desk: Desk, wanted: Wanted, limit: int, kind: str = "deal") -> list[Any]:
    seen: list[Any] = []
    after: str | None = None
    while True:
        page = await record_pages.list_records(desk.hub, desk.rep, kind, wanted, limit=limit, after=after)
        seen += page.records
        after = page.after
        if after is None:
            return seen


@pytest.mark.parametrize("sort", [s for name in DEAL.sortable for s in (name, f"-{name}")])
async def test_pages_of_any_size_put_together_are_the_whole_list_in_order(desk: Desk, sort: str):
    made = await make_deals(desk, 40)
    mine = {each for each, row in made.items() if row["owner_id"] in (None, desk.mine)}
    whole = await walk(desk, Wanted(sort=sort), 200)
    assert {each.id for each in whole} == mine
    for limit in (1, 7):
        assert [each.id for each in await walk(desk, Wanted(sort=sort), limit)] == [each.id for each in whole]
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    values = [each.values[name] for each in whole]
    if name == "name":
        values = [None if each is None else each.strip().lower().encode() for each in values]
        values = [each or None if each == b"" else each for each in values]
    filled = [each for each in values if each is not None]
    if name != "name":
        assert values[len(filled) :] == [None] * (len(values) - len(filled))
        assert filled == sorted(filled, reverse=descending)


async def test_a_place_stays_good_while_records_before_and_behind_it_change(desk: Desk):
    made = [await desk.rows.insert("deal", name=f"deal {n:03}") for n in range(30)]
    chance = random.Random(3)
    wanted = Wanted(sort="name")
    seen: list[UUID] = []
    after: str | None = None
    touched: set[UUID] = set()
    while True:
        page = await record_pages.list_records(desk.hub, desk.manager, "deal", wanted, limit=4, after=after)
        seen += [each.id for each in page.records]
        after = page.after
        if after is None:
            break
        victim = chance.choice(made)
        touched.add(victim)
        if chance.random() < 0.5:
            await records.change_record(
                desk.hub, desk.manager, "deal", victim, {"amount": chance.randrange(99)}
            )
        else:
            await desk.rows.execute("update crm.deals set archived_at = now() where id = %(id)s", id=victim)
        await desk.rows.insert("deal", name=f"deal {chance.randrange(30):03}x")
    assert len(seen) == len(set(seen))
    assert set(made) - touched <= set(seen)


async def test_a_place_of_another_order_or_of_nobodys_making_is_refused(desk: Desk):
    for n in range(3):
        await desk.rows.insert("deal", name=str(n), amount=n)
    page = await record_pages.list_records(desk.hub, desk.manager, "deal", Wanted(sort="name"), limit=1)
    assert page.after is not None
    assert read_place(read_sort(DEAL, "name"), page.after).value == "0"
    for sort, after in (
        ("-name", page.after),
        ("amount", page.after),
        ("name", "x"),
        ("name", page.after[:-4]),
    ):
        with pytest.raises(Invalid):
            await record_pages.list_records(desk.hub, desk.manager, "deal", Wanted(sort=sort), after=after)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "nothing:eq:1",
            "body:eq:x",
            "amount:contains:1",
            "amount:eq:much",
            "amount:eq:",
            "amount:between:1",
        ),
        *("closed_at:gt:yesterday", "owner_id:eq:me", "stage", "archived_at:eq:x", "name:eq:a\x00b"),
        *("name:eq:\ud800", "connection:starts:m", "custom_fields.:eq:1", "custom_fields.a/b:eq:1"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_told_with_its_field(text: str):
    with pytest.raises(Invalid) as caught:
        read_filter(DEAL, text)
    assert len(caught.value.fields) == 1


async def test_lists_show_what_lives_unless_asked_otherwise_and_never_what_was_merged(desk: Desk):
    living = await desk.rows.insert("contact", first_name="a")
    archived = await desk.rows.insert("contact", first_name="b", archived_at=datetime(2026, 1, 1, tzinfo=UTC))
    await desk.rows.insert(
        "contact", first_name="c", archived_at=datetime(2026, 1, 1, tzinfo=UTC), merged_into=living
    )
    assert await list_ids(desk, Wanted(), "contact") == {living}
    assert await list_ids(desk, Wanted(archived="only"), "contact") == {archived}
    assert await list_ids(desk, Wanted(archived="any"), "contact") == {living, archived}


async def test_a_rep_finds_own_and_unassigned_records_only_however_they_ask(desk: Desk):
    for kind, field in (
        ("contact", "first_name"),
        ("company", "name"),
        ("deal", "name"),
        ("task", "subject"),
    ):
        await desk.rows.insert(kind, **{field: "Willow mine"}, owner_id=desk.mine)
        await desk.rows.insert(kind, **{field: "Willow free"})
        await desk.rows.insert(kind, **{field: "Willow theirs"}, owner_id=desk.theirs)
        for wanted in (
            Wanted(),
            Wanted(search="willow"),
            Wanted((make_filter(RECORD_FIELDS[kind], "owner_id", "ne", [str(desk.mine)]),)),
        ):
            page = await record_pages.list_records(desk.hub, desk.rep, kind, wanted)
            assert "Willow theirs" not in names(page.records)
            assert len(page.records) == (1 if wanted.filters else 2)
            assert await record_pages.count_records(desk.hub, desk.rep, kind, wanted) == len(page.records)
        asked = Wanted((make_filter(RECORD_FIELDS[kind], "owner_id", "eq", [str(desk.theirs)]),))
        assert (await record_pages.list_records(desk.hub, desk.rep, kind, asked)).records == []
    hits = await record_pages.search_everything(desk.hub, desk.rep, "willow")
    assert {each.fields.name: len(each.records) for each in hits} == dict.fromkeys(
        ("contact", "company", "deal", "task"), 2
    )
    everything = await record_pages.search_everything(desk.hub, desk.manager, "willow")
    assert {len(each.records) for each in everything} == {3}


async def test_a_search_finds_words_in_any_order_addresses_and_numbers(desk: Desk):
    ada = await desk.rows.insert(
        "contact",
        first_name="Ada",
        last_name="O'Brien-Lark",
        email="ada.lark@Example.com",
        phone="x",
        phone_e164="+14155550142",
    )
    await desk.rows.insert("contact", first_name="Bob", last_name="Stone", email="bob@example.com")
    for text in (
        "lark ad",
        "ADA",
        "brien",
        "o'brien",
        "ada.l",
        "ada.lark@example.com",
        "(415) 555-0142",
        "+1 415 5550142",
    ):
        found = await list_ids(desk, Wanted(search=text), "contact")
        assert found == {ada}, text
    for text in ("ark", "ada bob", "'; drop table", "ada:*|bob", "415", "\\", "& | !", "''"):
        assert await list_ids(desk, Wanted(search=text), "contact") in (set(), {ada}), text
    assert await list_ids(desk, Wanted(search="ada bob"), "contact") == set()
    assert [
        each.fields.name for each in await record_pages.search_everything(desk.hub, desk.manager, "otto")
    ] == ["owner"]


async def test_another_tenants_records_are_found_by_no_search(desk: Desk, admin: Any):
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')",
        [UUID("00000000-0000-7000-8000-000000000002")],
    )
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, first_name, email)"
        " values (%s, gen_random_uuid(), 'Zelda', 'z@example.com')",
        [UUID("00000000-0000-7000-8000-000000000002")],
    )
    for text in ("zelda", "z@example.com"):
        assert await record_pages.search_everything(desk.hub, desk.manager, text) == []
    async with desk.hub.db.transaction(tenant_id=desk.hub.tenant_id) as conn:
        cursor = await conn.execute(
            "select crm.find_by_words("
            "'00000000-0000-7000-8000-000000000002', 'contact', '{zelda}', null, false, 9)"
        )
        assert await cursor.fetchall() == []


async def test_counting_ends_somewhere(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(record_pages, "MAX_COUNT", 3)
    for n in range(5):
        await desk.rows.insert("deal", name=str(n))
    assert await record_pages.count_records(desk.hub, desk.manager, "deal") == 4


async def test_a_kind_that_there_is_not_is_told(desk: Desk):
    with pytest.raises(NotFound):
        await record_pages.list_records(desk.hub, desk.manager, "planets")
    with pytest.raises(Invalid):
        await record_pages.list_records(desk.hub, desk.manager, "deal", Wanted(sort="body"))
    with pytest.raises(Invalid):
        await record_pages.list_records(
            desk.hub, desk.manager, "deal", Wanted((Filter("name", "eq", ("x",)),)), limit=0
        )
