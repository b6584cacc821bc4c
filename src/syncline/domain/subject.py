"""A person whose data is to be found: which records they are, and by what they are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec

from syncline.domain.identifiers import Identifier, Needle, email, needles, phone


class Ref(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A remote record."""

    connection_id: UUID
    object: str
    remote_id: str


class Subject(msgspec.Struct):
    """One person. Sealed wherever it is stored."""

    #: Contacts that they are, those that were merged into these included.
    contact_ids: list[UUID] = []
    #: What was done with them: calls, e-mails, meetings, notes; and to-dos.
    activity_ids: list[UUID] = []
    task_ids: list[UUID] = []
    #: In lower case.
    emails: list[str] = []
    #: As E.164; only lines that nobody else has.
    phones: list[str] = []
    #: The same lines as somebody wrote them.
    numbers: list[str] = []
    #: What the CRMs have of them: contacts, activities and to-dos.
    refs: list[Ref] = []

    @property
    def record_ids(self) -> list[UUID]:
        return [*self.contact_ids, *self.activity_ids, *self.task_ids]

    def identifiers(self) -> Iterator[Identifier]:
        """Yield addresses and numbers as they are compared; remote records are named by their account."""
        yield from (email(each) for each in self.emails)
        yield from (phone(each) for each in self.phones)

    def needles(self) -> list[Needle]:
        return needles(self.emails, [*self.phones, *self.numbers])

    def add_refs(self, found: list[Ref]) -> None:
        self.refs = sorted({*self.refs, *found})
