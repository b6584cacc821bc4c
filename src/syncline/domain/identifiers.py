"""What names a person: addresses, numbers, ids at CRMs; hashed with a key, and found in texts. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["email", "phone", "remote"]

#: What stands before and behind the sign of an address, in texts and in JSON. Rather too many addresses are
#: found than too few: they are only hashed.
_LOCAL = re.compile(r"[\w.%+'\-]{1,64}\Z")
_DOMAIN = re.compile(r"@[\w\-]+(?:\.[\w\-]+)+")
_NUMBERED = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPED = re.compile(r"\\[bfnrt\"\\/]")
_DIGITS = re.compile(r"\D+")
#: Fewer digits are no number that stands for one person.
_SHORTEST_NUMBER = 7
_KEY_BYTES = 32
#: What stands in place of what was taken out.
ERASED = "[erased]"


class Identifier(NamedTuple):
    """One thing by which a person is known, as it is compared."""

    kind: Kind
    value: str


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def new_hash_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def hash_identifier(key: bytes, identifier: Identifier) -> bytes:
    """Return what stands for an identifier: without the key nobody can try out addresses against it."""
    text = f"{identifier.kind}\0{identifier.value}".encode("utf-8", "replace")
    return hmac.new(key, text, hashlib.sha256).digest()


def email(text: str) -> Identifier:
    return Identifier("email", text.strip().lower())


def phone(e164: str) -> Identifier:
    return Identifier("phone", e164)


def remote(account: str, object_name: str, remote_id: str) -> Identifier:
    """Return a record of a CRM's account, whichever connection reads it; `account` with its platform."""
    return Identifier("remote", f"{account}\0{object_name}\0{remote_id}")


def find_emails(payload: bytes) -> set[str]:
    """Return every address in a JSON document, in lower case."""
    found: set[str] = set()
    if b"@" not in payload and b"\\u0040" not in payload:
        return found
    text = _unescaped(payload.decode("utf-8", "replace"))
    place = text.find("@")
    while place >= 0:
        domain = _DOMAIN.match(text, place)
        local = _LOCAL.search(text, max(0, place - 64), place) if domain is not None else None
        if domain is not None and local is not None:
            found.add((local[0] + domain[0]).lower())
        place = text.find("@", place + 1)
    return found


def _unescaped(text: str) -> str:
    """Return JSON as text to search in: a line's end is no letter, and no letter is written by its number."""
    if "\\" not in text:
        return text
    text = _NUMBERED.sub(lambda found: chr(int(found[1], 16)), text)
    return _ESCAPED.sub(" ", text)


class Needle(NamedTuple):
    """A text to look for: as a quick look finds it (lower case), and as a regular expression of Postgres."""

    text: str
    pattern: str


#: Before an address: nothing that could belong to it, or a line's end as JSON writes it.
_BEFORE = r"(?:(?<![\w.%+'-])|(?<=\\[bfnrt]))"


def needles(emails: Iterable[str], numbers: Iterable[str]) -> list[Needle]:
    """Return what to look for in texts: addresses as whole ones, numbers in each way of writing given."""
    found: dict[str, Needle] = {}
    for each in emails:
        text = each.strip().lower()
        if "@" in text:
            found[text] = Needle(text, _BEFORE + _quote(text) + r"(?![\w-]|\.\w)")
    for each in numbers:
        for text in _ways_of_writing(each):
            found[text] = Needle(text, rf"(?<!\d){_quote(text)}(?!\d)")
    return list(found.values())


def _ways_of_writing(number: str) -> Iterator[str]:
    text = number.strip().lower()
    digits = _DIGITS.sub("", text)
    if len(digits) >= _SHORTEST_NUMBER:
        yield text
        yield digits


def _quote(text: str) -> str:
    """Quote a text for a regular expression of Postgres, and of Python's."""
    return re.sub(r"([^\w@ ])", r"\\\1", text)


def same_line(text: str, e164: str) -> bool:
    """Tell whether a number as written may be this line, by its last seven digits."""
    digits = _DIGITS.sub("", text)
    return len(digits) >= _SHORTEST_NUMBER and e164.endswith(digits[-_SHORTEST_NUMBER:])


def redact(text: str, found: Iterable[Needle]) -> str:
    """Take what is looked for out of a text, in whatever case it stands there."""
    for each in found:
        text = re.sub(each.pattern, ERASED, text, flags=re.IGNORECASE)
    return text


def redact_json(payload: bytes, found: Iterable[Needle]) -> bytes:
    """Take what is looked for out of a JSON document: out of its texts, and numbers that are nothing else."""
    if b"\\u" in payload:  # letters may be written by their numbers
        payload = _encode(_decode(payload))
    text = payload.decode()
    for each in found:
        if each.text.isdecimal():
            text = re.sub(rf"(?<=[:,\[]){each.text}(?=[,\]}}])", "null", text)
        text = re.sub(each.pattern, ERASED, text, flags=re.IGNORECASE)
    return text.encode()
