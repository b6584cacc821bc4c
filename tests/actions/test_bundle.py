"""The bundle for whoever helps: it tells much, and neither a secret nor a person."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from syncline.actions.bundle import mask_settings, scrub, scrub_log_line, write_bundle
from syncline.actions.connect import Connected
from syncline.actions.doctor import diagnose
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.errors import Invalid
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.store.urls import parse

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


async def test_the_bundle_tells_the_state_and_no_secret_and_no_person(
    keyed: Settings, hub: Hub, world: World, connect: Connect, tmp_path: Path
):
    await connect()
    world.plant_all_defects()
    await sync(hub, objects=["contacts", "owners"])
    file = tmp_path / "bundle.zip"
    names = await write_bundle(keyed, await diagnose(keyed, ask_crms=False), file)
    assert {"versions.json", "settings.json", "doctor.json", "database.json", "status.json"} <= set(names)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        text = "".join(archive.read(name).decode() for name in archive.namelist())
        [state] = json.loads(archive.read("status.json"))
    counts = {each["object"]: each["count_here"] for each in state["connections"][0]["objects"]}
    assert counts["contacts"] > 40
    assert keyed.database_url is not None
    assert keyed.secret_key is not None
    password = parse(keyed.database_url.get_secret_value())["password"]
    for secret in (DEFAULT_TOKEN, password, keyed.secret_key.get_secret_value()):
        assert secret not in text
    for contact_id in world.store("contacts").living:
        record = world.get("contacts", contact_id)
        for name in ("email", "lastname", "phone"):
            value = record.get(name)
            if isinstance(value, str) and len(value) > 3:
                assert value not in text


async def test_the_bundle_is_written_even_when_the_database_is_away(home: Path, tmp_path: Path):
    settings = Settings(database_url=SecretStr("postgresql://a:hidden-word@127.0.0.1:1/b"), home=home)
    names = await write_bundle(settings, [], tmp_path / "bundle.zip")
    assert "database.json" in names
    assert b"hidden-word" not in (tmp_path / "bundle.zip").read_bytes()


async def test_a_place_that_cannot_be_written_is_told(keyed: Settings, tmp_path: Path):
    with pytest.raises(Invalid, match="cannot be written"):
        await write_bundle(keyed, [], tmp_path / "missing" / "bundle.zip")


def test_settings_are_shown_without_their_secrets():
    settings = Settings(
        database_url=SecretStr("postgresql://someone:hidden-word@db.example.com/crm"),
        secret_key=SecretStr("hidden-key"),
    )
    shown = mask_settings(settings)
    assert shown["database_url"] == "db.example.com:5432/crm"
    assert shown["secret_key"] == "set"
    assert "hidden" not in str(shown)


def test_words_stay_and_values_go():
    assert "ada@example.com" not in scrub("Could not store ada@example.com of 'Lovelace', +1 555 010 9999.")
    assert scrub("The token lacks a permission.") == "The token lacks a permission."
    line = "2026-11-21 04:00:00.123 UTC [42] app@db LOG:  duration of 'Lovelace' was 12 ms"
    scrubbed = scrub_log_line(line)
    assert scrubbed.startswith("2026-11-21 04:00:00.123 UTC [42] app@db LOG: ")
    assert "Lovelace" not in scrubbed
