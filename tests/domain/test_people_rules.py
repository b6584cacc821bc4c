"""What an address, a name and a password must look like, and what tokens tell."""

from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.people import (
    find_email_fault,
    find_name_fault,
    find_password_fault,
    find_phone_fault,
    normal_password,
    refuse,
    require_role,
)
from syncline.domain.tokens import (
    csrf_token,
    hash_token,
    is_same,
    new_invitation,
    new_key,
    new_token,
    read_invitation,
    read_key,
)
from syncline.errors import Invalid

EMAIL = "ada.example@example.com"


@pytest.mark.parametrize(
    "password",
    ["short", "eleven char", "a" * 40, "abababababababab", EMAIL, f"x{EMAIL.upper()}x", "y1" * 600],
)
def test_a_weak_password_is_refused(password: str):
    assert find_password_fault(password, EMAIL) is not None


@pytest.mark.parametrize("password", ["twelve chars", "four words of mine", "пароль из слов"])
def test_a_long_password_is_taken_whatever_it_is_made_of(password: str):
    assert find_password_fault(password, EMAIL) is None


def test_a_password_is_the_same_from_every_keyboard():
    assert normal_password("cafe\N{COMBINING ACUTE ACCENT}") == normal_password(
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    )


@pytest.mark.parametrize(
    "text", ["", "  ", "ada", "ada@", "@example.com", "a b@example.com", "a@b@c.com", "a\0@b.com"]
)
def test_what_is_no_address_is_refused(text: str):
    assert find_email_fault(text) is not None


@pytest.mark.parametrize("text", ["ada@example.com", " Ada.L@Sub.Example.COM ", "a+b@example.org"])
def test_an_address_is_taken(text: str):
    assert find_email_fault(text) is None


def test_names_and_numbers_hold_no_control_characters():
    assert find_name_fault("Ada\r\nBcc: x@example.com") is not None
    assert find_name_fault(" ") is not None
    assert find_name_fault("x" * 256) is not None
    assert find_name_fault("Ada Example") is None
    assert find_phone_fault("+1 555\0") is not None
    assert find_phone_fault(None) is None


def test_every_fault_is_told_with_its_field():
    with pytest.raises(Invalid) as refused:
        refuse({"email": "Bad.", "name": None, "role": "Worse."})
    assert refused.value.fields == {"email": "Bad.", "role": "Worse."}
    with pytest.raises(Invalid) as unknown:
        require_role("owner")
    assert set(unknown.value.fields) == {"role"}


def test_a_key_says_whose_it_is():
    tenant = uuid4()
    key = new_key(tenant)
    assert key.text.startswith("syncline_")
    assert read_key(key.text) == key
    assert len(base64.urlsafe_b64decode(key.text[-43:] + "=")) == 32
    secret = key.text[-43:]
    assert key.shown == f"syncline_…{secret[:6]}"
    assert secret not in repr(key)


def test_an_invitation_says_whose_it_is():
    tenant = uuid4()
    token = new_invitation(tenant)
    assert read_invitation(token.text).tenant_id == tenant


@given(st.text(max_size=200))
def test_whatever_is_sent_for_a_key_is_read_and_is_nobodys(text: str):
    assert read_key(text).tenant_id == UUID(int=0)
    assert len(read_key(text).hash) == 32


@given(st.binary(min_size=16, max_size=16))
def test_the_tenant_of_a_key_comes_back_whatever_letters_it_is_written_in(raw: bytes):
    tenant = UUID(bytes=raw)
    assert read_key(new_key(tenant).text).tenant_id == tenant


def test_a_form_token_follows_from_the_session_and_tells_nothing_of_it():
    token = new_token()
    assert csrf_token(token) == csrf_token(token)
    assert csrf_token(token) != csrf_token(new_token())
    assert token not in csrf_token(token)
    assert hash_token(token).hex() not in csrf_token(token)
    assert is_same(csrf_token(token), csrf_token(token))
    assert not is_same("\udc80é", csrf_token(token))
