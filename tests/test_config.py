"""Settings come from SYNCLINE_* variables; what is wrong with them is one sentence without a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from syncline.config import default_home, known_variables, load_settings
from syncline.errors import SettingInvalid


def test_nothing_needs_to_be_set():
    settings = load_settings()
    assert settings.database_url is None
    assert settings.lease_seconds == 30
    assert settings.writers == 2
    assert settings.home == default_home()


def test_values_are_read_and_normalised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNCLINE_LEASE_SECONDS", "45")
    monkeypatch.setenv("SYNCLINE_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("SYNCLINE_HOME", "~/a ü")
    monkeypatch.setenv("SYNCLINE_WRITERS", "")
    settings = load_settings()
    assert (settings.lease_seconds, settings.log_level) == (45, "debug")
    assert settings.home == Path.home() / "a ü"
    assert settings.writers == 2


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("SYNCLINE_DATABSE_URL", "Did you mean SYNCLINE_DATABASE_URL?"),
        ("SYNCLINE_LEASE", "Did you mean SYNCLINE_LEASE_SECONDS?"),
        ("syncline_home", "Did you mean SYNCLINE_HOME?"),
        ("SYNCLINE_QQQQQQQQQQQQQQ", "docs/configuration.md"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, variable: str, advice: str
):
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert variable in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SYNCLINE_WRITERS", "99"),
        ("SYNCLINE_LEASE_SECONDS", "soon"),
        ("SYNCLINE_LOG_FORMAT", "xml"),
        ("SYNCLINE_DATABASE_URL", "mysql://u:s3cret@h/d"),
        ("SYNCLINE_SECRET_KEY_FILE", "/nowhere/at/all"),
        ("SYNCLINE_REDIS_URL", "localhost:6379"),
        ("SYNCLINE_REDIS_URL", "redis://"),
        ("SYNCLINE_REDIS_URL", "redis://:s3cret@redis.example.com:sixthousand/0"),
        ("SYNCLINE_REDIS_URL", "redis://:s3cret@redis.example.com:99999/0"),
        ("SYNCLINE_REDIS_URL", "redis://:s3cret/a@redis.example.com/0"),
        ("SYNCLINE_REDIS_URL", "redis://redis.example.com/first"),
        ("SYNCLINE_REDIS_URL", "redis://redis..example.com/0"),
        ("SYNCLINE_REDIS_URL", "redis://redis.example.com/0?secret=s3cret"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence_without_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert variable in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:p%2Fw@redis_1:6379/0",
        "rediss://u:p@redis.example.com/",
        "redis://[::1]:1/2",
    ],
)
def test_an_address_of_redis_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("SYNCLINE_REDIS_URL", url)
    assert load_settings().redis_url == SecretStr(url)


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "url").write_text("postgresql://u:s3cret@h/d\n")
    monkeypatch.setenv("SYNCLINE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("SYNCLINE_DATABASE_URL_FILE", str(tmp_path / "url"))
    settings = load_settings()
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == "s3cret"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().endswith("@h/d")
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("content", ["", "   \n"])
def test_an_empty_secret_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str):
    (tmp_path / "key").write_text(content)
    monkeypatch.setenv("SYNCLINE_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingInvalid, match="is empty"):
        load_settings()


def test_a_secret_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SYNCLINE_SECRET_KEY", "a")
    monkeypatch.setenv("SYNCLINE_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingInvalid, match="Both SYNCLINE_SECRET_KEY and SYNCLINE_SECRET_KEY_FILE"):
        load_settings()


def test_only_secrets_have_a_file_variant():
    assert "SYNCLINE_SECRET_KEY_FILE" in known_variables()
    assert "SYNCLINE_HOME_FILE" not in known_variables()


@pytest.mark.skipif(os.geteuid() == 0, reason="root keeps its data in /var/lib")
def test_a_plain_users_home_follows_xdg(monkeypatch: pytest.MonkeyPatch):
    assert default_home() == Path.home() / ".local/share/syncline"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/data/syncline")


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user keeps his data at home")
def test_roots_home_is_where_other_accounts_can_reach_it():
    assert default_home() == Path("/var/lib/syncline")
