"""One call of Pipedrive and what is around every answer: success, data, where to go on. Knows no object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from syncline.connectors.pipedrive.failures import Failure, refuse
from syncline.connectors.text import decode_storable
from syncline.connectors.transport import Request, Response, Send
from syncline.errors import Unavailable

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

#: An answer of HTTP 200 without data has been seen now and then; the next one usually has them.
_ATTEMPTS = 3
#: The parts of paths that are the same in all accounts. Whatever is not among them is taken for an id.
_WORDS = frozenset(
    (
        "", "api", "v1", "v2", "activities", "activityFields", "archived", "dealFields", "deals", "leads",
        "me", "merge", "notes", "organizationFields", "organizations", "personFields", "persons", "pipelines",
        "search", "stages", "users", "webhooks",
    )
)  # fmt: skip


class Envelope(msgspec.Struct):
    """What is around the data of every answer."""

    success: bool = True
    data: Any = None
    additional_data: dict[str, Any] | None = None
    error: Any = None
    error_info: Any = None
    code: Any = None

    @property
    def next_cursor(self) -> str | None:
        """Where v2 goes on; None at the end."""
        following = (self.additional_data or {}).get("next_cursor")
        return str(following) if following else None


class Answer(msgspec.Struct):
    """An answer, taken apart."""

    envelope: Envelope
    response: Response
    #: True when some of its text may have been replaced, since it could not be stored.
    is_mended: bool = False

    @property
    def data(self) -> Any:
        return self.envelope.data


class Api:
    """Pipedrive as one connection sees it."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def call(
        self,
        method: Method,
        path: str,
        *,
        cost: int,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        bucket: str = "burst",
        idempotent: bool = True,
        may_be_empty: bool = False,
    ) -> Answer:
        """Call and return what came. Raises `CallRefused` also where a refusal comes with HTTP 200.

        Without data what may be repeated is asked again, and then `Unavailable` is raised, unless an answer
        `may_be_empty`: v1 writes an empty list that way.
        """
        request = Request(
            method, path, query or {}, json=json, bucket=bucket, cost=cost, idempotent=idempotent,
            template=template_of(path),
        )  # fmt: skip
        left = _ATTEMPTS if idempotent else 1
        while True:
            response = await self._send(request)
            envelope, is_mended = read_envelope(response.body)
            if not envelope.success:
                failure = Failure(False, envelope.error, envelope.error_info, code=envelope.code)
                raise refuse(response.status, failure)
            if envelope.data is not None or may_be_empty:
                return Answer(envelope, response, is_mended)
            left -= 1
            if not left:
                raise Unavailable("Pipedrive answered without any data.")


def template_of(path: str) -> str:
    """Return a path without what tells one record from another."""
    return "/".join(part if part in _WORDS else "{}" for part in path.split("/"))


def read_envelope(body: bytes) -> tuple[Envelope, bool]:
    """Read an answer, and say whether some of its text was replaced. Raises `Unavailable` if it is none."""
    if not body.strip():
        return Envelope(), False
    try:
        decoded, is_mended = decode_storable(body)
        return msgspec.convert(decoded, Envelope), is_mended
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise Unavailable("Pipedrive sent an answer that cannot be read.") from error
