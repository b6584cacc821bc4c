"""Phone numbers, and the many ways people write one. Knows no records."""

from __future__ import annotations

import random

#: Digits of a national number after the area code, by calling code.
_REST = {"1": 7, "44": 9, "49": 8, "61": 8, "48": 8}
_JUNK = ("n/a", "call the office", "-", "0000000", "see notes")


def random_phone(rng: random.Random, calling_code: str, area: str) -> str:
    """Return a number in E.164."""
    digits = _REST[calling_code]
    first = rng.randrange(2, 10)
    return f"+{calling_code}{area}{first}{rng.randrange(10 ** (digits - 1)):0{digits - 1}}"


def format_phone(rng: random.Random, e164: str) -> str:
    """Write a number as somebody typed it: mostly E.164 or national, sometimes neither."""
    chance = rng.random()
    if chance < 0.6 or not e164.startswith("+1"):
        return e164 if chance < 0.93 else f"{e164[:3]} {e164[3:6]} {e164[6:]}"
    area, exchange, line = e164[2:5], e164[5:8], e164[8:]
    if chance < 0.75:
        return f"({area}) {exchange}-{line}"
    if chance < 0.85:
        return f"{area}-{exchange}-{line}"
    if chance < 0.90:
        return f"+1 {area}-{exchange}-{line}"
    if chance < 0.95:
        return e164[1:]
    if chance < 0.98:
        return f"{area}.{exchange}.{line} x{rng.randrange(10, 999)}"
    return rng.choice(_JUNK) if chance > 0.995 else f"{area}{exchange}{line}"


def call_center_numbers(rng: random.Random, count: int) -> list[str]:
    """Return numbers of our own lines."""
    return [random_phone(rng, "1", "737") for _ in range(count)]
