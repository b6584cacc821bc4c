"""Writing to the simulated HubSpot on a real port: each record has its own outcome, come what may."""

from __future__ import annotations

import pytest
from writing_hubspot import Client, change, client_of, create, world_of

from syncline.connectors.transport import Request, Response
from syncline.connectors.writes import RemoteLink, RemoteWrite, WriteOutcome
from syncline.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    RateLimited,
    RecordRejected,
    RetryLater,
    ScopeMissing,
    SettingInvalid,
    TokenRejected,
    Unavailable,
)
from syncline.simulators.hubspot import Settings

pytestmark = pytest.mark.anyio

LABEL = ("USER_DEFINED", 9001)


def failures(outcomes: list[WriteOutcome]) -> dict[str, type[Exception]]:
    return {each.key: type(each.failure) for each in outcomes if each.failure is not None}


def untraced(client: Client) -> None:
    """Let requests go out without trace ids: HubSpot then refuses a batch whole."""

    def strip(request: Request) -> None:
        for each in (request.json or {}).get("inputs", ()):
            each.pop("objectWriteTraceId", None)

    client.before = strip


@pytest.mark.parametrize("dated_paths", [True, False])
async def test_creates_and_changes_are_told_apart_and_answered_in_order(dated_paths: bool):
    world = world_of(contacts=3, settings=Settings(dated_paths=dated_paths))
    first, second, third = world.store("contacts").living
    async with client_of(world) as client:
        outcomes = await client.connector.write_many(
            "contacts",
            [
                create(1),
                change(third, jobtitle="CTO"),
                create(2, email="Bea@B.example"),
                change(first, phone=None),
            ],
        )
        assert [each.key for each in outcomes] == ["new 1", f"change {third}", "new 2", f"change {first}"]
        assert failures(outcomes) == {}
        assert [each.created for each in outcomes] == [True, None, True, None]
        assert all(each.record is not None and each.record.remote_id == each.remote_id for each in outcomes)
        assert world.get("contacts", third).get("jobtitle") == "CTO"
        assert world.get("contacts", first).get("phone") is None
        made = outcomes[2].record
        assert made is not None
        assert made.properties["email"] == "bea@b.example"  # as HubSpot keeps it
        assert made.properties["syncline_record_id"] == "own-id-2"
        assert len(client.paths("/batch/")) == 2
        assert second in world.store("contacts").living


async def test_sending_creates_twice_makes_one_record_of_each():
    world = world_of()
    async with client_of(world) as client:
        writes = [create(number) for number in range(100)]
        first = await client.connector.write_many("contacts", writes)
        second = await client.connector.write_many("contacts", writes)
        assert [each.remote_id for each in first] == [each.remote_id for each in second]
        assert {each.created for each in first} == {True}
        assert {each.created for each in second} == {False}
        assert len(world.store("contacts").living) == 100
        assert all(each.idempotent for each in client.paths("upsert"))


async def test_what_a_lost_answer_made_is_found_by_our_own_id():
    world = world_of()
    async with client_of(world) as client:

        def lose(request: Request, response: Response) -> None:
            del response
            if "upsert" in request.path:
                raise Unavailable

        client.after = lose
        with pytest.raises(Unavailable):
            await client.connector.write_many("contacts", [create(1), create(2)])
        found = await client.connector.find_by_external_id(
            "contacts", ["own-id-1", "own-id-2", "own-id-3", "own-id-1"], ["firstname"]
        )
        assert {key: each.properties["firstname"] for key, each in found.items()} == {
            "own-id-1": "N1",
            "own-id-2": "N2",
        }
        assert await client.connector.find_by_external_id("contacts", []) == {}


async def test_bad_records_of_a_traced_batch_fail_alone_with_hubspots_words():
    world = world_of(contacts=2)
    [taken, _] = world.store("contacts").living
    world.update("contacts", taken, {"email": "taken@b.example"})
    async with client_of(world) as client:
        outcomes = await client.connector.write_many(
            "contacts",
            [
                create(1),
                create(2, email="Not An Address"),
                create(3, email="taken@b.example"),
                change(taken, hubspot_owner_id="424242"),
                create(4),
            ],
        )
        assert failures(outcomes) == {
            "new 2": RecordRejected,
            "new 3": AlreadyExists,
            f"change {taken}": RecordRejected,
        }
        assert all(each.unwritten for each in outcomes if each.failure)
        assert outcomes[2].existing_id == str(taken)
        words = str(outcomes[1].failure)
        assert "email: Email address" in words
        assert "INVALID_EMAIL" in words
        assert "Not An Address" not in words
        assert "424242" not in str(outcomes[3].failure)
        assert {"N1", "N4"} <= set(client.names())
        assert len(client.paths("/batch/")) == 2


@pytest.mark.parametrize("bad", [{0}, {99}, {3, 4, 50}, set(range(100))])
async def test_a_batch_refused_whole_is_halved_until_only_the_bad_ones_fail(bad: set[int]):
    world = world_of(contacts=100)
    living = list(world.store("contacts").living)
    async with client_of(world) as client:
        untraced(client)
        writes = [
            change(each, **({"hs_lead_status": "no such choice"} if number in bad else {"jobtitle": "New"}))
            for number, each in enumerate(living)
        ]
        outcomes = await client.connector.write_many("contacts", writes)
        assert failures(outcomes) == {f"change {living[each]}": RecordRejected for each in sorted(bad)}
        changed = {each for each in living if world.get("contacts", each).get("jobtitle") == "New"}
        assert changed == {each for number, each in enumerate(living) if number not in bad}
        # A bad one costs at most two calls per halving.
        assert len(client.requests) <= 1 + min(len(bad) * 2 * 7, 198)


async def test_creates_refused_whole_are_halved_and_still_made_once():
    world = world_of()
    async with client_of(world) as client:
        await client.connector.write_many("contacts", [create(200, email="taken@b.example")])
        untraced(client)
        writes = [create(each, **({"email": "taken@b.example"} if each == 7 else {})) for each in range(20)]
        for _ in range(2):
            outcomes = await client.connector.write_many("contacts", writes)
            assert failures(outcomes) == {"new 7": AlreadyExists}
        assert len(world.store("contacts").living) == 20


async def test_a_property_hubspot_does_not_have_costs_two_calls_and_not_two_hundred():
    world = world_of(contacts=100)
    living = list(world.store("contacts").living)
    async with client_of(world) as client:
        untraced(client)
        writes = [
            change(each, jobtitle="New", **({"no_such": "1"} if number % 2 else {}))
            for number, each in enumerate(living)
        ]
        outcomes = await client.connector.write_many("contacts", writes)
        assert len(failures(outcomes)) == 50
        assert len(client.requests) == 2
        assert "no_such" in str(outcomes[1].failure)


async def test_records_that_are_gone_are_outcomes():
    world = world_of(contacts=6)
    living = list(world.store("contacts").living)
    world.archive("contacts", living[0])
    world.merge("contacts", living[1], living[2])
    async with client_of(world) as client:
        writes = [change(each, jobtitle="New") for each in [*living[:4], 4242]]
        outcomes = await client.connector.write_many("contacts", writes)
    gone = [f"change {each}" for each in (*living[:3], 4242)]
    assert failures(outcomes) == dict.fromkeys(gone, NotFound)
    assert all(each.unwritten for each in outcomes if each.failure)
    assert world.get("contacts", living[3]).get("jobtitle") == "New"


async def test_two_writes_of_one_record_are_both_made_the_first_first():
    world = world_of(contacts=1)
    [only] = world.store("contacts").living
    async with client_of(world) as client:
        outcomes = await client.connector.write_many(
            "contacts", [change(only, jobtitle="One"), change(only, jobtitle="Two"), create(1), create(1)]
        )
    assert failures(outcomes) == {}
    assert world.get("contacts", only).get("jobtitle") == "Two"
    assert len(world.store("contacts").living) == 2


async def test_without_the_property_creates_are_plain_and_must_not_be_repeated():
    world = world_of()
    async with client_of(world, ids_for=()) as client:
        outcomes = await client.connector.write_many("contacts", [create(1), create(2, email="nonsense")])
        assert failures(outcomes) == {"new 2": RecordRejected}
        assert outcomes[0].remote_id is not None
        [request] = client.paths("/batch/")
        assert request.path.endswith("/create")
        assert not request.idempotent


async def test_a_plain_create_whose_answer_was_lost_may_have_been_made_and_says_so():
    world = world_of(contacts=1)
    [only] = world.store("contacts").living
    async with client_of(world, ids_for=()) as client:

        def lose(request: Request, response: Response) -> None:
            del response
            if request.path.endswith("/create"):
                raise Unavailable

        client.after = lose
        outcomes = await client.connector.write_many("contacts", [create(1), change(only, jobtitle="New")])
        assert failures(outcomes) == {"new 1": Unavailable}
        assert not outcomes[0].unwritten
        assert outcomes[1].record is not None
        with pytest.raises(SettingInvalid):
            await client.connector.find_by_external_id("contacts", ["own-id-1"])


async def test_the_property_made_later_is_used_at_once_and_its_loss_stops_creates():
    world = world_of()
    async with client_of(world, ids_for=()) as client:
        await client.connector.write_many("contacts", [create(1)])
        wanted = client.connector.external_id_property("contacts")
        assert wanted is not None
        await client.connector.apply_properties("contacts", [wanted])
        [made] = await client.connector.write_many("contacts", [create(2)])
        assert made.record is not None
        assert made.record.properties["syncline_record_id"] == "own-id-2"
        definition = world.store("contacts").definitions["syncline_record_id"]
        definition.unique = False
        world.store("contacts").definitions_changed()
        with pytest.raises(SettingInvalid, match="syncline_record_id"):
            await client.connector.write_many("contacts", [create(3)])
        assert client.names() == ["N1", "N2"]


async def test_failures_before_anything_is_written_are_raised():
    world = world_of(contacts=1)
    [only] = world.store("contacts").living
    world.auth.add_token("narrow", {"crm.objects.contacts.read", "crm.schemas.contacts.read"})
    async with client_of(world, token="narrow", ids_for=()) as client:
        with pytest.raises(ScopeMissing) as missing:
            await client.connector.write_many("contacts", [change(only, jobtitle="New")])
        assert missing.value.scopes == ("crm.objects.contacts.write",)
        with pytest.raises(ScopeMissing):
            await client.connector.archive_many("contacts", [str(only)])
    async with client_of(world, token="unknown", ids_for=()) as client:
        with pytest.raises(TokenRejected):
            await client.connector.write_many("contacts", [change(only, jobtitle="New")])
    world.settings.rate = 1
    async with client_of(world, ids_for=()) as client:
        await client.connector.write_many("contacts", [change(only, jobtitle="New")])
        with pytest.raises(RateLimited):
            await client.connector.write_many("contacts", [change(only, jobtitle="Newer")])


async def test_a_failure_after_something_was_written_loses_no_answer():
    world = world_of(contacts=2)
    first, second = world.store("contacts").living
    async with client_of(world) as client:

        def refuse(request: Request) -> None:
            if "upsert" in request.path:
                raise TokenRejected

        client.before = refuse
        outcomes = await client.connector.write_many(
            "contacts", [create(1), change(first, jobtitle="New"), create(2), change(second, jobtitle="New")]
        )
        assert failures(outcomes) == {"new 1": TokenRejected, "new 2": TokenRejected}
        assert [each.unwritten for each in outcomes] == [True, False, True, False]


async def test_a_leading_semicolon_adds_no_choice_and_stays_in_a_text():
    world = world_of()
    values = world.store("contacts").definitions["hs_legal_basis"].option_values
    made = world.create("contacts", {"firstname": "Ann", "hs_legal_basis": values[0]})
    async with client_of(world) as client:
        await client.connector.write_many(
            "contacts", [change(made.id, hs_legal_basis=f";{values[1]}", jobtitle=";-)")]
        )
    assert world.get("contacts", made.id).get("hs_legal_basis") == values[1]
    assert world.get("contacts", made.id).get("jobtitle") == ";-)"


async def test_more_than_a_hundred_and_owners_are_refused_and_nothing_is_no_call():
    async with client_of(world_of()) as client:
        hubspot = client.connector
        with pytest.raises(Invalid):
            await hubspot.write_many("contacts", [create(each) for each in range(101)])
        with pytest.raises(Invalid):
            await hubspot.archive_many("contacts", [str(each) for each in range(101)])
        with pytest.raises(Invalid):
            await hubspot.write_many("owners", [])
        assert await hubspot.write_many("contacts", []) == []
        assert await hubspot.archive_many("contacts", []) == []
        assert await hubspot.associate_many("contacts", "companies", []) == []
        assert await hubspot.dissociate_many("contacts", "companies", []) == []
        assert client.requests == []


async def test_an_object_the_account_does_not_have_is_not_a_hundred_lost_records():
    async with client_of(world_of()) as client:
        with pytest.raises(NotFound):
            await client.connector.write_many("2-99", [change(each, name="A") for each in range(100)])
        assert len(client.requests) == 1


async def test_archiving_twice_is_archiving_once():
    world = world_of(contacts=5)
    living = list(world.store("contacts").living)
    ids = [str(each) for each in living[:2]]
    async with client_of(world) as client:
        for _ in range(2):
            outcomes = await client.connector.archive_many("contacts", [*ids, "4242", ids[0]])
            assert [each.key for each in outcomes] == [*ids, "4242", ids[0]]
            assert failures(outcomes) == {}
    assert list(world.store("contacts").living) == living[2:]


async def test_associations_are_made_parents_first_and_once():
    world = world_of()
    async with client_of(world, ids_for=("contacts", "companies")) as client:
        hubspot = client.connector
        [company] = await hubspot.write_many(
            "companies", [RemoteWrite("company", None, {"name": "North"}, "own-id-c")]
        )
        contacts = await hubspot.write_many("contacts", [create(1), create(2)])
        assert company.remote_id is not None
        links = [RemoteLink(each.key, each.remote_id or "", company.remote_id) for each in contacts]
        for _ in range(2):
            client.requests.clear()
            outcomes = await hubspot.associate_many("contacts", "companies", links)
            assert failures(outcomes) == {}
            assert [each.key for each in outcomes] == ["new 1", "new 2"]
        assert len(client.requests) == 1  # the second time nothing was left to write
        found = await hubspot.read_associations("companies", "contacts", [company.remote_id])
        assert {each.to_id for each in found} == {each.remote_id for each in contacts}
        assert {each.bucket for each in client.requests} == {"associations"}


async def test_a_label_somebody_gave_survives_another_type():
    world = world_of(contacts=1, companies=1)
    [contact], [company] = world.store("contacts").living, world.store("companies").living
    types = world.graph
    types.define("0-1", "0-2", LABEL, "Adviser", ("USER_DEFINED", 9002), "Advised")
    types.define("0-1", "0-2", ("USER_DEFINED", 9003), "Buyer", ("USER_DEFINED", 9004), "Bought")
    world.associate("contacts", contact, "companies", company, [LABEL])
    async with client_of(world) as client:
        hubspot = client.connector
        plain = RemoteLink("plain", str(contact), str(company))
        typed = RemoteLink("typed", str(contact), str(company), 9003, "USER_DEFINED")
        assert failures(await hubspot.associate_many("contacts", "companies", [plain])) == {}
        assert failures(await hubspot.associate_many("contacts", "companies", [plain, typed])) == {}
        has = set(world.associated("0-1", contact, "0-2")[company])
        assert {LABEL, ("USER_DEFINED", 9003), ("HUBSPOT_DEFINED", 279)} <= has
        for _ in range(2):
            assert failures(await hubspot.dissociate_many("contacts", "companies", [typed])) == {}
        has = set(world.associated("0-1", contact, "0-2")[company])
        assert LABEL in has
        assert ("USER_DEFINED", 9003) not in has
        for _ in range(2):
            assert failures(await hubspot.dissociate_many("contacts", "companies", [plain, typed])) == {}
        assert world.associated("0-1", contact, "0-2") == {}


async def test_an_association_with_a_record_that_is_gone_fails_alone():
    world = world_of(contacts=40, companies=1)
    [company] = world.store("companies").living
    contacts = list(world.store("contacts").living)
    world.archive("contacts", contacts[5])
    async with client_of(world) as client:
        links = [RemoteLink(str(each), str(each), str(company)) for each in contacts]
        links.append(RemoteLink("wrong type", str(contacts[0]), str(company), 77, "USER_DEFINED"))
        outcomes = await client.connector.associate_many("contacts", "companies", links)
        assert failures(outcomes) == {str(contacts[5]): NotFound, "wrong type": RecordRejected}
        found = await client.connector.read_associations("companies", "contacts", [str(company)])
        assert {int(each.to_id) for each in found} == set(contacts) - {contacts[5]}


async def test_with_faults_of_every_kind_everything_is_written_once():
    world = world_of(contacts=60)
    living = list(world.store("contacts").living)
    async with client_of(world) as client:
        world.settings.faults, world.settings.slow_seconds = "0.4", 0.01
        writes = [*(create(each) for each in range(40)), *(change(each, jobtitle="New") for each in living)]
        for _ in range(200):
            try:
                outcomes = await client.connector.write_many("contacts", writes)
            except RetryLater:
                continue
            left = {each.key for each in outcomes if isinstance(each.failure, RetryLater)}
            assert set(failures(outcomes)) == left
            writes = [each for each in writes if each.key in left]
            if not writes:
                break
        assert writes == []
        assert len(client.requests) > 3
    assert len(world.store("contacts").living) == 100
    assert {world.get("contacts", each).get("jobtitle") for each in living} == {"New"}


async def test_a_lifecycle_is_moved_back_where_hubspot_would_pass_it_over():
    world = world_of(contacts=4)
    back, forward, same, other = world.store("contacts").living
    for each, stage in ((back, "customer"), (forward, "lead"), (same, "customer"), (other, "customer")):
        world.update("contacts", each, {"lifecyclestage": stage})
    async with client_of(world) as client:
        outcomes = await client.connector.write_many(
            "contacts",
            [
                change(back, lifecyclestage="lead", jobtitle="New"),
                change(forward, lifecyclestage="customer"),
                change(same, lifecyclestage="customer"),
                change(other, jobtitle="New"),
            ],
        )
        assert failures(outcomes) == {}
        stages = [world.get("contacts", each).get("lifecyclestage") for each in (back, forward, same, other)]
        assert stages == ["lead", "customer", "customer", "customer"]
        record = outcomes[0].record
        assert record is not None
        assert (record.properties["lifecyclestage"], record.properties["jobtitle"]) == ("lead", "New")
        emptied = [
            each["id"]
            for request in client.paths("/update")
            for each in request.json["inputs"]
            if each["properties"].get("lifecyclestage") == ""
        ]
        assert emptied == [str(back)]


async def test_a_lifecycle_that_could_be_emptied_but_not_set_is_to_be_tried_again():
    world = world_of(contacts=1)
    [only] = world.store("contacts").living
    world.update("contacts", only, {"lifecyclestage": "customer"})
    async with client_of(world) as client:

        def refuse(request: Request) -> None:
            if len(client.paths("/update")) == 3:
                raise Unavailable

        client.before = refuse
        [outcome] = await client.connector.write_many("contacts", [change(only, lifecyclestage="lead")])
        assert isinstance(outcome.failure, Unavailable)
        assert not outcome.unwritten
        [outcome] = await client.connector.write_many("contacts", [change(only, lifecyclestage="lead")])
        assert outcome.failure is None
    assert world.get("contacts", only).get("lifecyclestage") == "lead"
