"""What an e-mail address is: in a field of its own, and where one may begin and end within a text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

#: What no address holds, be it quoted or written in letters of any alphabet: our fields take everything else.
_NONE_OF = r"\s@<>,;"
_BREAK = re.compile(rf"[{_NONE_OF}]")
_DOMAIN = re.compile(rf"[^{_NONE_OF}]{{1,255}}")
#: What an address may also begin behind, or end before, in a text: brackets, quotes, `mailto:`, `to=` …
_EDGE = re.compile(r"[^\w.%+\-]")
_PLAIN_DOMAIN = re.compile(r"[\w\-]+(?:\.[\w\-]+)+")
_NO_WORD = re.compile(r"\W+")
_LONGEST_LOCAL = 254
#: More beginnings than this within one word are nobody's address.
_MOST_EDGES = 16
#: More ways than this to read one `@` are not gone through: those first that are most like an address.
_MOST_READINGS = 64


def is_address(text: str) -> bool:
    """Tell whether a field takes a text as an address. Asks for no more than a CRM would."""
    local, _, domain = text.partition("@")
    return bool(local) and "." in domain[1:-1] and not _BREAK.search(local) and not _BREAK.search(domain)


def find_addresses(text: str) -> Iterator[str]:
    """Yield whatever in a text may be an address, as it stands there: the same one with and without edges.

    Rather too many than too few. Everything that `is_address` is found where it stands between spaces,
    brackets, commas or quotes. Whatever the text is, each letter of it is looked at so many times at most.
    """
    behind, place = 0, text.find("@")
    while place >= 0:
        # Nothing before the `@` before it belongs to this one.
        local = _BREAK.split(text[max(behind, place - _LONGEST_LOCAL) : place])[-1]
        domain = _DOMAIN.match(text, place + 1)
        if local and domain is not None and "." in domain[0]:
            yield from _list_readings(_list_begins(local), _list_ends(domain[0]))
        behind = place + 1
        place = text.find("@", behind)


def _list_readings(begins: list[str], ends: list[str]) -> Iterator[str]:
    """Yield each beginning with each end, those first that come first in both."""
    places = ((rank - end, end) for rank in range(len(begins) + len(ends)) for end in range(rank + 1))
    meant = ((begin, end) for begin, end in places if begin < len(begins) and end < len(ends))
    return (f"{begins[begin]}@{ends[end]}" for begin, end in islice(meant, _MOST_READINGS))


def _list_begins(run: str) -> list[str]:
    """Return where an address may begin: at the last edge, with the whole word, at edges farther away."""
    last, *more = ([each.end() for each in _EDGE.finditer(run)] or [0])[: -_MOST_EDGES - 1 : -1]
    found = dict.fromkeys(run[place:] for place in (last, 0, *more))
    # Dots and signs before a word belong to it, or to the sentence.
    found |= dict.fromkeys(each[begins.end() :] for each in found if (begins := _NO_WORD.match(each)))
    return [each for each in found if each]


def _list_ends(run: str) -> list[str]:
    """Return where an address may end: as most do, with the whole word, before each sign behind it."""
    plain = _PLAIN_DOMAIN.match(run)
    signs = 0
    while signs < min(_MOST_EDGES, len(run)) and _NO_WORD.match(run[-signs - 1]):
        signs += 1
    found = dict.fromkeys(() if plain is None else (plain[0],))
    found |= dict.fromkeys(run[: len(run) - each] for each in (0, *range(signs, 0, -1)))
    return [each for each in found if "." in each]
