"""What of somebody else's row may be given to a person: the lines that hold an address or a number of theirs.

Everything else of the row is others', and so are other addresses and numbers within such a line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from syncline.domain.identifiers import Needle

#: What stands in place of what is others'.
LEFT_OUT = "[…]"
#: Letters of a line that are given before and behind what was looked for: a text may be one long line.
_AROUND = 120
_OTHERS_ADDRESS = re.compile(r"[^\s<>,;]*@[^\s<>,;]*")
_OTHERS_NUMBER = re.compile(r"\+?\d[\d ()/.\-]*\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\b")
_SHORTEST_NUMBER = 7

Found = dict[str, list[str]]


class Excerpts:
    """Reads rows for what is looked for."""

    def __init__(self, wanted: Iterable[Needle]) -> None:
        self._patterns = [(each.text, re.compile(each.pattern, re.IGNORECASE)) for each in wanted]

    def of_row(self, row: Mapping[str, Any]) -> Found:
        """Return where in a row something stands that was looked for → the lines it stands in.

        Where: the column, and what leads to the text within a document. A text that is JSON is a document.
        """
        found: Found = {}
        for path, text in _list_texts(row, ()):
            lines = self.of_text(text)
            if lines:
                where = ".".join(LEFT_OUT if len(each) > _AROUND else self._mask(each) for each in path)
                found.setdefault(where, []).extend(lines)
        return found

    def of_text(self, text: str) -> list[str]:
        """Return the lines that hold what is looked for, without the addresses and numbers of others."""
        spans = self._list_spans(text)
        windows: list[tuple[int, int]] = []
        for begin, end in spans:
            first, last = _window(text, begin, end)
            if windows and first <= windows[-1][1]:
                first, last = windows[-1][0], max(last, windows[-1][1])
                windows.pop()
            windows.append((first, last))
        return [self._mask(text[first:last]) for first, last in windows]

    def _list_spans(self, text: str) -> list[tuple[int, int]]:
        """Return where it stands, in order; what overlaps is one."""
        small = text.lower()
        found = sorted(
            each.span()
            for needle, pattern in self._patterns
            if needle in small
            for each in pattern.finditer(text)
        )
        spans: list[tuple[int, int]] = []
        for begin, end in found:
            if spans and begin < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((begin, end))
        return spans

    def _mask(self, text: str) -> str:
        """Take the addresses and numbers of others out of a short text."""
        parts: list[str] = []
        behind = 0
        for begin, end in self._list_spans(text):
            parts += [_mask_others(text[behind:begin]), text[begin:end]]
            behind = end
        return "".join([*parts, _mask_others(text[behind:])])


def _window(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the line about a span, cut between words: half an address would not be known as one."""
    first = text.rfind("\n", max(0, begin - _AROUND), begin) + 1
    if not first and begin > _AROUND:
        words = text[begin - _AROUND : begin].split(maxsplit=1)
        first = begin - len(words[1]) if len(words) > 1 else begin
    last = text.find("\n", end, end + _AROUND)
    if last < 0 and len(text) - end > _AROUND:
        words = text[end : end + _AROUND].rsplit(maxsplit=1)
        last = end + len(words[0]) if len(words) > 1 else end
    return first, len(text) if last < 0 else last


def _mask_others(text: str) -> str:
    return _OTHERS_NUMBER.sub(_mask_number, _OTHERS_ADDRESS.sub(LEFT_OUT, text))


def _mask_number(found: re.Match[str]) -> str:
    digits = sum(each.isdigit() for each in found[0])
    return found[0] if digits < _SHORTEST_NUMBER or _DATE.fullmatch(found[0]) else LEFT_OUT


def _list_texts(held: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(held, Mapping):
        for name, each in cast("Mapping[str, Any]", held).items():
            yield path, name
            yield from _list_texts(each, (*path, name))
    elif isinstance(held, str):
        document = _read_document(held)
        yield from [(path, held)] if document is None else _list_texts(document, path)
    elif isinstance(held, Sequence):
        for place, each in enumerate(cast("Sequence[Any]", held)):
            yield from _list_texts(each, (*path, str(place)))
    elif held is not None and not isinstance(held, bool):
        yield path, str(held)


def _read_document(text: str) -> Any:
    """Return a JSON document that a text is; None for any other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
