"""What an e-mail address is: in a field of its own, and where one may begin and end within a text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What no address holds, be it quoted or written in letters of any alphabet: our fields take everything else.
_RUN = r"[^\s@<>,;]"
_ADDRESS = re.compile(rf"{_RUN}+@{_RUN}+\.{_RUN}+")
_LOCAL = re.compile(rf"{_RUN}{{1,254}}\Z")
_DOMAIN = re.compile(rf"{_RUN}{{1,255}}")
#: What an address may also begin behind, or end before, in a text: brackets, quotes, `mailto:`, `to=` …
_EDGE = re.compile(r"[^\w.%+\-]")
_PLAIN_DOMAIN = re.compile(r"[\w\-]+(?:\.[\w\-]+)+")
_NO_WORD = re.compile(r"\W+")
_SIGNS_BEHIND = re.compile(r"\W+\Z")
#: More beginnings than this within one word are nobody's address.
_MOST_EDGES = 16


def is_address(text: str) -> bool:
    """Tell whether a field takes a text as an address. Asks for no more than a CRM would."""
    return _ADDRESS.fullmatch(text) is not None


def find_addresses(text: str) -> Iterator[str]:
    """Yield whatever in a text may be an address, as it stands there: the same one with and without edges.

    Rather too many than too few. Everything that `is_address` is found where it stands between spaces,
    brackets, commas or quotes.
    """
    place = text.find("@")
    while place >= 0:
        local = _LOCAL.search(text, max(0, place - 254), place)
        domain = _DOMAIN.match(text, place + 1)
        if local is not None and domain is not None:
            ends = list(_list_ends(domain[0]))
            yield from (f"{begin}@{end}" for begin in _list_begins(local[0]) for end in ends)
        place = text.find("@", place + 1)


def _list_begins(run: str) -> Iterator[str]:
    edges = [each.end() for each in _EDGE.finditer(run)][-_MOST_EDGES:]
    found = dict.fromkeys(run[place:] for place in (0, *edges))
    # Dots and signs before a word belong to it, or to the sentence.
    found |= dict.fromkeys(each[begins.end() :] for each in found if (begins := _NO_WORD.match(each)))
    return iter([each for each in found if each])


def _list_ends(run: str) -> Iterator[str]:
    plain = _PLAIN_DOMAIN.match(run)
    signs = _SIGNS_BEHIND.search(run)
    closing = 0 if signs is None else min(len(signs[0]), _MOST_EDGES)
    found = dict.fromkeys(run[: len(run) - each] for each in range(closing + 1))
    found |= dict.fromkeys(() if plain is None else (plain[0],))
    return (each for each in found if "." in each)
