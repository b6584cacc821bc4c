"""Letters as a real mail server receives them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from letterbox import NAME, PASSWORD, open_letterbox
from syncline.config import Settings
from syncline.engine.mail import Letter, can_mail, send_mail
from syncline.errors import Unavailable

pytestmark = pytest.mark.anyio

LETTER = Letter("ada@example.com", "Grüße", "Ein Link:\n\nhttps://hub.example.com/password/abc\n")


def settings_for(url: str, tmp_path: Path, sender: str = "Syncline <syncline@example.com>") -> Settings:
    return Settings(
        home=tmp_path,
        smtp_url=SecretStr(url),
        mail_from=sender,
        public_url="https://hub.example.com",
    )


async def test_a_letter_arrives_as_it_was_written(tmp_path: Path):
    async with open_letterbox() as box:
        await send_mail(settings_for(f"smtp://127.0.0.1:{box.port}", tmp_path), LETTER)
    letter = box.letters[0]
    assert letter["to"] == "ada@example.com"
    assert letter["from"] == "Syncline <syncline@example.com>"
    assert letter["subject"] == "Grüße"
    assert letter["message-id"].endswith("@example.com>")
    assert letter.get_content().splitlines() == LETTER.text.splitlines()


async def test_the_servers_login_is_used(tmp_path: Path):
    async with open_letterbox(with_login=True) as box:
        url = f"smtp://{NAME}:{quote(PASSWORD, safe='')}@127.0.0.1:{box.port}"
        await send_mail(settings_for(url, tmp_path), LETTER)
        assert box.logins == [(NAME, PASSWORD)]
        wrong = f"smtp://{NAME}:wr0ng-one@127.0.0.1:{box.port}"
        with pytest.raises(Unavailable) as refused:
            await send_mail(settings_for(wrong, tmp_path), LETTER)
    assert "wr0ng-one" not in str(refused.value)
    assert len(box.letters) == 1


async def test_a_server_that_is_away_or_refuses_is_told_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    async with open_letterbox() as box:
        box.refusal = "554 ada@example.com is not welcome"
        with pytest.raises(Unavailable) as refused:
            await send_mail(settings_for(f"smtp://127.0.0.1:{box.port}", tmp_path), LETTER)
    with pytest.raises(Unavailable) as away:
        await send_mail(settings_for(f"smtp://u:s3cret@127.0.0.1:{box.port}", tmp_path), LETTER)
    told = f"{refused.value} {away.value} {capsys.readouterr()}"
    for secret in ("ada@example.com", "s3cret", "password/abc"):
        assert secret not in told


async def test_a_line_break_makes_no_header_of_its_own(tmp_path: Path):
    async with open_letterbox() as box:
        letter = Letter("ada@example.com", "Hello\r\nBcc: eve@example.com", "x")
        with pytest.raises(ValueError, match="linefeed or carriage return"):
            await send_mail(settings_for(f"smtp://127.0.0.1:{box.port}", tmp_path), letter)
    assert box.letters == []


async def test_without_a_server_nothing_can_be_mailed(settings: Settings):
    assert not can_mail(settings)
    with pytest.raises(Unavailable, match="SYNCLINE_SMTP_URL"):
        await send_mail(settings, LETTER)
