"""Phone numbers as E.164, so that the same line is the same text whoever wrote it down."""

from __future__ import annotations

import re
from functools import lru_cache

#: Regions that share country code 1, where ten digits are a whole number.
_NORTH_AMERICA = frozenset({"US", "CA", "PR", "DO", "JM", "BS", "BB", "TT"})
_SEPARATORS = str.maketrans("", "", " -.()\u00a0\u202f")
# 2..9 begins area code and exchange, and the second digits of neither are 9 and 11 (N11 codes).
_NANP = re.compile(r"(?:\+?1)?([2-9][0-8]\d[2-9]\d{6})")
_LONGEST = 40


def to_e164(text: str, region: str) -> str | None:
    """Return `text` as +<country><number>, or None when it cannot be a phone number.

    `region` (ISO 3166, upper case) decides how a number without country code is read. Extensions are
    dropped: E.164 has none.
    """
    if len(text) > _LONGEST:
        return None
    if region in _NORTH_AMERICA or text.startswith("+1"):
        # libphonenumber takes about 40 µs a number; most are clean and need none of it.
        clean = _NANP.fullmatch(text.translate(_SEPARATORS))
        if clean and clean[1][4:6] != "11":
            return "+1" + clean[1]
    if text[:1] == "+" and (digits := text[1:].translate(_SEPARATORS)).isdecimal() and digits.isascii():
        for size in (1, 2, 3):
            lengths = _possible_lengths(digits[:size])
            if lengths is not None:
                # A zero after the country code may be a trunk prefix, which only the library can tell.
                if digits[size : size + 1] != "0" and len(digits) - size in lengths:
                    return "+" + digits
                break
    return _parse(text, region)


def is_region(code: str) -> bool:
    """Tell whether `code` (ISO 3166, upper case) is a country that numbers can be read in."""
    import phonenumbers  # slow to import, here and below, and many commands read no number

    return code in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=2000)
def _possible_lengths(country_code: str) -> frozenset[int] | None:
    """Return how many digits may follow a country code, by the library's own tables; None if it is none."""
    import phonenumbers

    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(country_code))
    if not regions or regions[0] == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return None if not regions else frozenset()
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(regions[0])
    if metadata is None or metadata.general_desc is None:
        return frozenset()
    return frozenset(length for length in metadata.general_desc.possible_length if length > 0)


@lru_cache(maxsize=20_000)
def _parse(text: str, region: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
