"""What names a person: addresses, numbers, ids at CRMs; hashed with a key, and found in texts. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast

import msgspec

from syncline.domain.addresses import find_addresses

Kind = Literal["email", "phone", "remote", "record"]

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
    """Return an address as it is compared: without case, and with each accented letter as one."""
    return Identifier("email", unicodedata.normalize("NFC", text.strip().lower()))


def phone(e164: str) -> Identifier:
    return Identifier("phone", e164)


def remote(account: str, object_name: str, remote_id: str) -> Identifier:
    """Return a record of a CRM's account, whichever connection reads it; `account` with its platform."""
    return Identifier("remote", f"{account}\0{object_name}\0{remote_id}")


def record(record_id: str) -> Identifier:
    """Return a record of ours, by its id, which CRMs are given as well."""
    return Identifier("record", record_id.strip().lower())


def find_emails(payload: bytes) -> set[str]:
    """Return whatever may be an address in a JSON document, in lower case: it is only hashed."""
    if b"@" not in payload and b"\\u0040" not in payload:
        return set()
    return {each.lower() for text in _list_texts(_decode(payload)) for each in find_addresses(text)}


def _list_texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for each in cast("list[Any]", document):
            yield from _list_texts(each)
    elif isinstance(document, dict):
        for name, each in cast("dict[str, Any]", document).items():
            yield name
            yield from _list_texts(each)


class Needle(NamedTuple):
    """A text to look for: as a quick look finds it (lower case), and as a regular expression of Postgres."""

    text: str
    pattern: str


#: Before an address: no letter or sign of a longer one, a line's end as JSON writes it excepted. A quote or a
#: full stop belongs to it only behind a letter.
_BEFORE = r"(?:(?<![\w%+-])(?<![\w%+-][.'])|(?<=\\[bfnrt]))"


def needles(emails: Iterable[str], numbers: Iterable[str]) -> list[Needle]:
    """Return what to look for in texts: addresses as whole ones, numbers in each way of writing given."""
    found: dict[str, Needle] = {}
    for each in emails:
        if "@" not in each:
            continue
        for text in _forms(each.strip().lower()):
            found[text] = Needle(_plain_end(text), _BEFORE + _quote_in_json(text) + r"(?![\w-]|\.\w)")
    for each in numbers:
        for text in _ways_of_writing(each):
            found[text] = Needle(text, rf"(?<!\d){_quote(text)}(?!\d)")
    return list(found.values())


def _forms(text: str) -> Iterator[str]:
    """Yield a text as it is given, and with each accented letter as one and as two, which look the same."""
    yield text
    yield unicodedata.normalize("NFC", text)
    yield unicodedata.normalize("NFD", text)


def _ways_of_writing(number: str) -> Iterator[str]:
    text = number.strip().lower()
    digits = _DIGITS.sub("", text)
    if len(digits) >= _SHORTEST_NUMBER:
        yield text
        yield digits


def _quote(text: str) -> str:
    """Quote a text for a regular expression of Postgres, and of Python's."""
    return re.sub(r"([^\w@ ])", r"\\\1", text)


def _quote_in_json(text: str) -> str:
    """Quote it so that it is found in a text, and in a JSON document as that writes it."""
    known = {'"': r"\\?\"", "\\": r"\\{1,2}"}
    return "".join(known.get(each) or _quote(each) for each in text)


def _plain_end(text: str) -> str:
    """Return what stands in a JSON document letter by letter."""
    return re.split(r'["\\]', text)[-1]


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
    return _encode(_redact_in(_decode(payload), list(found)))


def _redact_in(document: Any, found: list[Needle]) -> Any:
    if isinstance(document, str):
        return redact(document, found)
    if isinstance(document, list):
        return [_redact_in(each, found) for each in cast("list[Any]", document)]
    if isinstance(document, dict):
        held = cast("dict[str, Any]", document)
        return {redact(name, found): _redact_in(each, found) for name, each in held.items()}
    if isinstance(document, int | Decimal) and not isinstance(document, bool):
        return None if any(each.text == str(document) for each in found) else document
    return document
