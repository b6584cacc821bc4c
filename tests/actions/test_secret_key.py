"""The installation's key: found, made at first need, never left open."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from syncline.actions.secret_key import find_keys, key_file, make_key_file, require_keys
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.errors import HomeUnusable, SettingInvalid


def settings_of(home: Path, key: str | None = None) -> Settings:
    return Settings(home=home, secret_key=None if key is None else SecretStr(key))


def test_the_embedded_set_up_makes_its_key_once_and_for_its_owner_only(tmp_path: Path):
    settings = settings_of(tmp_path / "home")
    [first] = require_keys(settings, embedded=True)
    [second] = require_keys(settings, embedded=True)
    assert first == second
    assert stat.S_IMODE(key_file(settings.home).stat().st_mode) == 0o600
    Vault([first])


def test_two_programs_that_make_the_key_at_once_get_the_same(tmp_path: Path):
    assert make_key_file(tmp_path) == make_key_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_database_of_ones_own_needs_a_key_that_was_set(tmp_path: Path):
    with pytest.raises(SettingInvalid, match="syncline init"):
        require_keys(settings_of(tmp_path), embedded=False)
    assert not key_file(tmp_path).exists()


def test_several_keys_open_and_the_first_seals(tmp_path: Path):
    old, new = new_key(), new_key()
    sealed = Vault([old]).seal(b"something")
    keys = find_keys(settings_of(tmp_path, f"{new}, {old}"))
    assert Vault(keys).open(sealed) == b"something"
    assert Vault([new]).open(Vault(keys).seal(b"other")) == b"other"


def test_a_key_file_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="cannot be written"):
        make_key_file(tmp_path / "file")
