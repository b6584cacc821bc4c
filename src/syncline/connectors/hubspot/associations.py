"""Associations by batch read. An input that has none is an error entry of HTTP 207, and nothing wrong."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.hubspot.objects import association_type
from syncline.connectors.reads import Association
from syncline.errors import Unavailable

#: What says that a record has no associations, or is no longer there to have any.
_NONE = ("NO_ASSOCIATIONS_FOUND", "OBJECT_NOT_FOUND", "INVALID_IDENTIFIER")


class _Type(msgspec.Struct, rename="camel"):
    type_id: int
    category: str = ""
    label: str | None = None


class _To(msgspec.Struct, rename="camel"):
    #: A number where it was captured, text in the documentation.
    to_object_id: str | int
    association_types: list[_Type] = []


class _From(msgspec.Struct):
    id: str | int


class _Next(msgspec.Struct):
    after: str


class _Paging(msgspec.Struct):
    next: _Next | None = None


class _Result(msgspec.Struct):
    from_: _From = msgspec.field(name="from")
    to: list[_To] = []
    paging: _Paging | None = None


class _Problem(msgspec.Struct, rename="camel"):
    category: str | None = None
    sub_category: str | None = None
    message: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]
    errors: list[_Problem] = []


async def read_associations(
    api: Api, from_object: tuple[str, str], to_object: tuple[str, str], remote_ids: Sequence[str]
) -> list[Association]:
    """Read all associations of up to 1,000 records, following each record's own paging.

    Objects come as (name, name in paths).
    Raises `Unavailable` when HubSpot says of a record anything else than that it has none: taking that
    for "none" would remove associations that exist.
    """
    name = association_type(from_object[0], to_object[0])
    inputs = [{"id": each} for each in dict.fromkeys(remote_ids)]
    associations: list[Association] = []
    while inputs:
        response = await api.call(
            "POST",
            "associations",
            object_name=from_object[1],
            to=to_object[1],
            json={"inputs": inputs},
            bucket="associations",
        )
        answer = read_as(_Answer, response.body)
        _check(answer.errors)
        following: list[dict[str, str]] = []
        for result in answer.results:
            associations.extend(_convert(result, name))
            if result.paging is not None and result.paging.next is not None:
                following.append({"id": str(result.from_.id), "after": result.paging.next.after})
        if following == inputs:
            raise Unavailable("HubSpot's associations repeat their cursors; they were left unread.")
        inputs = following
    return associations


def _convert(result: _Result, name: str) -> list[Association]:
    return [
        Association(str(result.from_.id), str(to.to_object_id), kind.type_id, name, kind.category, kind.label)
        for to in result.to
        for kind in to.association_types
    ]


def _check(problems: list[_Problem]) -> None:
    for problem in problems:
        said = f"{problem.category or ''} {problem.sub_category or ''}"
        if not any(each in said for each in _NONE):
            raise Unavailable(
                f"HubSpot could not read some associations: {said.strip() or 'no reason given'}."
            )
