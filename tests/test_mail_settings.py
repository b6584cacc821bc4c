"""Settings for mail and single sign-on: what is taken, and what is of no use alone."""

from __future__ import annotations

import pytest

from syncline.config import load_settings
from syncline.errors import SettingInvalid


@pytest.mark.parametrize(
    "url",
    [
        "smtp://mail.example.com",
        "smtp://u:p%40ss@mail.example.com:587",
        "smtps://u@[::1]:465",
        "smtp://localhost:25/",
    ],
)
def test_a_mail_server_is_named_by_its_url(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("SYNCLINE_SMTP_URL", url)
    monkeypatch.setenv("SYNCLINE_MAIL_FROM", "Syncline <syncline@example.com>")
    monkeypatch.setenv("SYNCLINE_PUBLIC_URL", "https://hub.example.com")
    found = load_settings().smtp_url
    assert found is not None
    assert found.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://u:p@ss@h",
        "smtp://h:99999",
        "smtp://h:0",
        "smtp://h?x=1",
    ],
)
def test_what_is_no_mail_server_is_refused_without_telling_it(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("SYNCLINE_SMTP_URL", url)
    with pytest.raises(SettingInvalid, match="SYNCLINE_SMTP_URL") as refused:
        load_settings()
    assert "p@ss" not in str(refused.value)


@pytest.mark.parametrize("sender", ["nobody", "a@b\nBcc: x@example.com", "a b@c d", "a@b <c@d"])
def test_what_is_no_sender_is_refused(monkeypatch: pytest.MonkeyPatch, sender: str):
    monkeypatch.setenv("SYNCLINE_MAIL_FROM", sender)
    with pytest.raises(SettingInvalid, match="SYNCLINE_MAIL_FROM"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SMTP_URL": "smtp://h"}, "MAIL_FROM"),
        ({"SMTP_URL": "smtp://h", "MAIL_FROM": "a@example.com"}, "PUBLIC_URL"),
        ({"OIDC_ISSUER": "https://id.example.com"}, "OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "x"}, "OIDC_CLIENT_SECRET"),
        (
            {"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "y"},
            "PUBLIC_URL",
        ),
    ],
)
def test_half_a_setting_is_refused_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
):
    for name, value in given.items():
        monkeypatch.setenv(f"SYNCLINE_{name}", value)
    with pytest.raises(SettingInvalid, match=f"SYNCLINE_{missing}"):
        load_settings()
