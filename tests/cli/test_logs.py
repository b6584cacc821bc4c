"""The log: JSON for machines, text for people, and no secret at any level."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import pytest
import structlog

from syncline.cli.logs import configure_logs, mask_value
from syncline.domain.sealing import new_key

TOKEN = "pat-na1-00000000-aaaa-bbbb-cccc-121212121212"


@pytest.fixture
def out() -> Generator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_a_file_gets_one_json_document_per_event(out: io.StringIO):
    configure_logs(stream=out)
    structlog.get_logger("test").info("run_ended", records=3)
    event = json.loads(out.getvalue())
    assert (event["event"], event["records"], event["level"]) == ("run_ended", 3, "info")
    assert event["timestamp"].endswith("Z")


def test_text_is_for_people(out: io.StringIO):
    configure_logs(stream=out, log_format="text")
    structlog.get_logger("test").info("run_ended", records=3)
    assert "run_ended" in out.getvalue()
    assert "records=3" in out.getvalue()


def test_events_below_the_level_are_left_out(out: io.StringIO):
    configure_logs(stream=out, level="warning")
    structlog.get_logger("test").info("quiet")
    logging.getLogger("library").info("quiet")
    assert out.getvalue() == ""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_secret_passes_even_at_debug(out: io.StringIO, log_format: str):
    configure_logs(stream=out, level="debug", log_format=log_format)  # type: ignore[arg-type]
    key = new_key()
    log = structlog.get_logger("test")
    log.debug(
        "call", access_token=TOKEN, headers={"authorization": f"Bearer {TOKEN}"}, text=f"Bearer {TOKEN}"
    )
    log.debug("database", url=f"postgresql://someone:{TOKEN}@host/db", key_in_text=f"the key {key} is")
    log.debug("nested", items=[{"client_secret": TOKEN}, f"tok {TOKEN}"], body=TOKEN.encode())
    logging.getLogger("httpcore2.http11").debug("send_request_headers %s", TOKEN)
    logging.getLogger("library").warning("refused Authorization: Bearer %s", TOKEN)
    try:
        int(f"Bearer {TOKEN}")
    except ValueError:
        log.exception("failed")
    assert TOKEN not in out.getvalue()
    assert key not in out.getvalue()
    assert "***" in out.getvalue()


@pytest.mark.parametrize("start", ["-i0w", "_i0w", "ai0w"])
@pytest.mark.parametrize("before", ["the key ", "", "key=", "my-"])
def test_a_key_is_masked_whatever_it_begins_with_and_follows(start: str, before: str):
    key = start + "zG4QJH4craOaa--hIOeNr6l_AZ6yePPN59iSN-o="
    assert key not in mask_value(f"{before}{key} was given")


def test_masking_leaves_everything_else_alone():
    text = "Contacts of acme: 29,000 read in 8.1 s from https://api.example.com/crm?limit=100"
    assert mask_value(text) == text
    assert mask_value(3) == 3
