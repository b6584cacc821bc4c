"""What an address, a name and a password must look like. Pure; every fault is told with its field."""

from __future__ import annotations

import unicodedata

from email_validator import EmailNotValidError, validate_email

from syncline.domain.callers import ROLES, Role
from syncline.errors import Invalid

MIN_PASSWORD = 12
#: Hashing takes as long as the text is.
MAX_PASSWORD = 1000
_MAX_NAME = 255
_MAX_PHONE = 50
_FEW_CHARACTERS = 4


def normal_email(text: str) -> str:
    """Return an address as two spellings of it compare: without case and outer spaces. Checks nothing."""
    return text.strip().lower()


def find_email_fault(text: str) -> str | None:
    """Say what is wrong with an address; None when nothing is. Asks no server."""
    if not text.strip():
        return "Give an e-mail address."
    if not text.isprintable():
        return "An e-mail address is one line."
    try:
        validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return "This is not an e-mail address; write it like name@example.com."
    return None


def find_name_fault(text: str) -> str | None:
    """Say what is wrong with a person's name; None when nothing is."""
    if not text.strip():
        return "Give a name."
    if len(text.strip()) > _MAX_NAME:
        return f"A name has at most {_MAX_NAME} characters."
    return None if _is_plain(text) else "A name has no line breaks and no control characters."


def find_phone_fault(text: str | None) -> str | None:
    """Say what is wrong with a number; None when nothing is, or none was given."""
    if text is None:
        return None
    if len(text) > _MAX_PHONE or not _is_plain(text):
        return f"A number has at most {_MAX_PHONE} characters, in one line."
    return None


def find_password_fault(password: str, email: str) -> str | None:
    """Say what is wrong with a new password; None when nothing is."""
    if len(password) < MIN_PASSWORD:
        return f"A password has at least {MIN_PASSWORD} characters; several words are easy to remember."
    if len(password) > MAX_PASSWORD:
        return f"A password has at most {MAX_PASSWORD} characters."
    if normal_email(email) in password.lower():
        return "The password must not contain your e-mail address."
    if len(set(password)) <= _FEW_CHARACTERS:
        return "The password repeats a few characters; use more different ones."
    return None


def normal_password(password: str) -> str:
    """Return a password so that it is the same from whatever keyboard it was typed (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def find_role_fault(role: str) -> str | None:
    """Say what is wrong with a role's name; None when nothing is."""
    return None if role in ROLES else f"There is no such role. There are: {', '.join(ROLES)}."


def require_role(role: str) -> Role:
    """Return the role called so. Raises `Invalid`."""
    for known in ROLES:
        if known == role:
            return known
    refuse({"role": find_role_fault(role)})
    raise AssertionError  # refused above


def refuse(faults: dict[str, str | None]) -> None:
    """Raise `Invalid` with every fault and its field; nothing when there is none."""
    found = {field: fault for field, fault in faults.items() if fault is not None}
    if found:
        raise Invalid(" ".join(found.values()), fields=found)


def _is_plain(text: str) -> bool:
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)
