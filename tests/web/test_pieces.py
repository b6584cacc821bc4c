"""The small parts of the pages: words for times and numbers, tokens, lines of a mapping, links to help."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

import syncline.web
from syncline.actions.health import tell_rhythm
from syncline.domain.callers import Caller
from syncline.web import show
from syncline.web.assets import Assets
from syncline.web.connection_mapping import find_line
from syncline.web.csrf import mask, unmask
from syncline.web.nav import GROUPS, list_groups
from syncline.web.page import next_place
from syncline.web.render import initials, make_environment, query

WEB = Path(syncline.web.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BERLIN = show.Place("Europe/Berlin", "EUR", "en_GB")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"), (4, "just now"), (59, "59 seconds ago"), (60, "1 minute ago"),
        (125, "2 minutes ago"),
        (3600, "1 hour ago"), (86_399, "23 hours ago"), (172_800, "2 days ago"), (-90, "in 1 minute"),
    ],
)  # fmt: skip
def test_an_age_is_told_as_people_say_it(seconds: int, words: str):
    assert show.ago(NOON - timedelta(seconds=seconds), NOON) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [(None, show.NOTHING), (840, "840 ms"), (2340, "2.3 s"), (60_000, "1 min"), (250_000, "4 min 10 s"),
     (7_500_000, "2 h 5 min")],
)  # fmt: skip
def test_a_length_of_time_is_told_so_that_two_compare(ms: int | None, words: str):
    assert show.duration(ms) == words


def test_times_numbers_and_money_are_as_the_reader_has_them():
    assert show.moment(NOON, BERLIN).startswith("1 Mar 2026, 13:00")
    assert show.money("12500.5", BERLIN) == "€12,500.50"
    assert show.money(1500, BERLIN, "USD") == "US$1,500"
    assert show.money("no number", BERLIN) == "no number"
    assert show.compact(29_000, BERLIN) == "29K"
    assert show.share(0.9999, BERLIN) == "99%"


def test_a_zone_that_is_no_more_shows_utc():
    assert show.Place("Nowhere/Atall", "EUR").zone.key == "UTC"


@pytest.mark.parametrize(
    ("asked", "locale"),
    [("en-GB,en;q=0.9", "en_GB"), ("de-DE,de", "en_US"), ("", "en_US"), (None, "en_US"), ("?;", "en_US")],
)
def test_numbers_are_in_the_readers_english(asked: str | None, locale: str):
    assert show.choose_locale(asked) == locale


@pytest.mark.parametrize(
    ("cron", "words"),
    [("*/5 * * * *", "every 5 minutes"), ("0 * * * *", "every hour"), ("0 6 * * *", "daily at 06:00"),
     ("30 */4 * * *", "every 4 hours"), ("* * * * *", "every minute"), ("0 6 * * 1", "at “0 6 * * 1”")],
)  # fmt: skip
def test_a_schedule_is_told_in_words(cron: str, words: str):
    assert tell_rhythm(cron) == words


def test_a_token_comes_back_from_under_its_mask():
    token = "a-token-of-a-session"
    assert mask(token) != mask(token)
    assert unmask(mask(token)) == token
    assert unmask("not base64 at all!") == ""


@pytest.mark.parametrize("text", ["", None, "https://a.example", "//a.example", "/\\a", "/a\nb"])
def test_only_a_path_of_ours_is_gone_to(text: str | None):
    assert next_place(text) == "/"
    assert next_place("/runs?mode=push") == "/runs?mode=push"


def test_the_line_of_a_mapping_is_found():
    deals, contacts = "  deals:\n    fields:\n      name: x\n", "  contacts:\n    fields:\n      phone: y\n"
    text = f"version: 1\nobjects:\n{deals}{contacts}"
    assert find_line(text, ["objects", "contacts", "fields", "phone"]) == 8
    assert find_line(text, ["objects", "contacts", "fields", "email"]) == 7
    assert find_line(text, ["policy"]) is None


def test_the_navigation_holds_what_is_served_and_allowed():
    caller = Caller(uuid4(), "rep", "somebody", "web")
    served = {entry.path for group in GROUPS for entry in group.entries}
    paths = {entry.path for group in list_groups(caller, served) for entry in group.entries}
    assert "/deals" in paths
    assert "/settings" not in paths
    assert list_groups(caller, set()) == []


def test_links_and_letters():
    assert query(a=1, b="", c=None) == "?a=1"
    assert initials("Ada Augusta Lovelace") == "AL"
    assert initials("ada@example.com") == "A"


def test_every_page_links_to_help_that_is_there():
    named = {name for path in WEB.glob("*.py") for name in re.findall(r'help="([^"]+)"', path.read_text())}
    assert len(named) > 5
    assert {name for name in named if not (DOCS / f"{name}.md").is_file()} == set()


def test_every_picture_that_is_named_is_bundled():
    bundled = set(json.loads((WEB / "assets/icons.json").read_text()))
    texts = [path.read_text() for path in (*WEB.rglob("*.html"), *WEB.glob("*.py"))]
    named = {name for text in texts for name in re.findall(r'icon\("([a-z0-9-]+)"', text)}
    named |= {each.icon for each in show.LOOKS.values()}
    named |= {entry.icon for group in GROUPS for entry in group.entries}
    assert len(named) > 20
    assert named - bundled == set()


def test_no_template_holds_a_style_or_a_script_of_its_own():
    for path in WEB.rglob("templates/**/*.html"):
        text = path.read_text()
        assert " style=" not in text, path
        assert "onclick=" not in text, path
        assert set(re.findall(r"<script(?![^>]*(?:\bsrc=|application/json))", text)) == set(), path


def test_every_template_can_be_read():
    environment = make_environment(Assets())
    names = environment.list_templates(extensions=["html"])
    assert len(names) > 30
    for name in names:
        environment.get_template(name)


def test_without_its_bundle_a_page_says_how_to_make_it(tmp_path: Path):
    assets = Assets(tmp_path)
    assert not assets.are_there
    assert assets.url("app.css") == ""
