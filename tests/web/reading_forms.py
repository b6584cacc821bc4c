"""The forms of a page as a browser would send them, and each of their fields with something wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

#: What people and programs send by mistake.
WRONG = {
    "nothing": "",
    "far too much": "x" * 20_000,
    "more than any text": "x" * 1_000_001,
    "what cannot be stored": "a\0b",
    "words": "☠ no",
    "a number that is no number": "9" * 40,
}
_UNTIL_CHECKED = frozenset({"checkbox", "radio"})


@dataclass
class Field:
    name: str
    kind: str
    value: str = ""
    is_sent: bool = True
    is_required: bool = False

    def can_be(self) -> list[str]:
        """Return what can be wrong with it that says something of how it is read."""
        if self.kind == "textarea":
            return ["nothing", "more than any text", "what cannot be stored"]
        if self.kind in {"text", "email", "url", "tel", "search", "password"}:
            return ["nothing", "far too much", "what cannot be stored"]
        if self.kind in {"number", "date", "datetime-local"}:
            return ["nothing", "words", "a number that is no number"]
        return ["words", "nothing"] if self.kind == "hidden" else ["words"]

    def refuses(self, wrong: str) -> bool:
        """Tell whether a value is nonsense in this field beyond doubt."""
        if wrong == "nothing":
            return self.is_required
        too_much = {"far too much", "more than any text", "what cannot be stored"}
        if wrong in too_much and self.kind in {"text", "textarea", "email"}:
            return True
        if self.kind in {"number", "date", "datetime-local"}:
            return wrong == "words"
        return self.kind in {"select", "radio"} and wrong in {"words", "a number that is no number"}


@dataclass
class FormOnPage:
    action: str
    method: str
    fields: list[Field] = field(default_factory=list[Field])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({each.name for each in self.fields} - {"csrf_token"}))

    def filled(self, name: str, value: str, token: str) -> dict[str, list[str]]:
        """Return everything as it stands on the page, but one field."""
        sent: dict[str, list[str]] = {name: [value]}
        for each in self.fields:
            if each.name == name or not each.is_sent or each.kind == "file":
                continue
            sent.setdefault(each.name, []).append(token if each.name == "csrf_token" else each.value)
        return sent


class _Reader(HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.forms: list[FormOnPage] = []
        self._open: FormOnPage | None = None
        self._area: Field | None = None
        self._select: Field | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = FormOnPage(given.get("action") or self.path, given.get("method", "get").lower())
            self.forms.append(self._open)
        if self._open is None:
            return
        if tag == "option" and self._select is not None:
            if "selected" in given or not self._select.is_sent:
                self._select.value, self._select.is_sent = given.get("value", ""), True
        elif tag in {"input", "textarea", "select", "button"} and given.get("name"):
            self._add(tag, given)

    def _add(self, tag: str, given: dict[str, str]) -> None:
        assert self._open is not None
        kind = given.get("type", "text") if tag == "input" else tag
        # Of several buttons the first is pressed.
        pressed = tag == "button" and any(each.kind == "button" for each in self._open.fields)
        is_sent = tag != "select" and not pressed and (kind not in _UNTIL_CHECKED or "checked" in given)
        made = Field(given["name"], kind, given.get("value", ""), is_sent, "required" in given)
        self._open.fields.append(made)
        self._area = made if tag == "textarea" else None
        self._select = made if tag == "select" else None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area.value += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag in {"textarea", "select"}:
            self._area = self._select = None


def read_forms(path: str, html: str) -> Iterator[FormOnPage]:
    """Yield the forms of a page that change something."""
    reader = _Reader(path)
    reader.feed(html)
    yield from (each for each in reader.forms if each.method == "post")
