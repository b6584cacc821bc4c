"""The simulator as an ASGI application: tokens and limits around the handlers."""

from __future__ import annotations

from syncline.simulators.answers import Answer, encode
from syncline.simulators.hubspot import control, faults
from syncline.simulators.hubspot.answers import ApiError, Request
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.routing import Match, match
from syncline.simulators.hubspot.sending import Sender
from syncline.simulators.hubspot.world import World
from syncline.simulators.serving import Around, Headers, Receive, Scope, Send, read_body

_JSON = b"application/json;charset=utf-8"
#: Longest URL, in characters; longer ones get 414.
URL_MOST = 16_200


class App:
    """An ASGI application over one world. All state is in the world, so that several may share it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = Api(world)
        self._around = Around(world, self.api.faults, self._answer_of, _JSON)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b"" if scope["method"] == "GET" else await read_body(receive)
        path: str = scope["path"]
        if path.startswith(control.PREFIX):
            answer = await control.wait_for(self.api, path, body)
            if answer is None:
                answer = control.answer(self.api, scope["method"], path, scope["query_string"], body)
            await self._around.send(send, answer, [])
            return
        found = match(scope["method"], path, dated_paths=self.world.settings.dated_paths)
        await self._around.serve(
            scope, receive, send, found.route.name,
            lambda headers: self._answer(found, scope, body, headers),
        )  # fmt: skip

    @property
    def sending(self) -> Sender:
        return self.api.webhooks

    def _answer_of(self, fault: str) -> Answer:
        return faults.answer_of(fault, self.api.correlation_id())

    def _answer(self, found: Match, scope: Scope, body: bytes, headers: Headers) -> Answer:
        """Carry out a request; fills in the headers of its limits."""
        headers.append((b"x-hubspot-correlation-id", self.api.correlation_id().encode()))
        try:
            return found.route.handler(self.api, self._request(found, scope, body, headers))
        except ApiError as error:
            refused = error
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            # Handlers read what they need of a body and leave its shape to this place; without a body
            # it is a mistake of theirs.
            if not body:
                raise
            refused = ApiError(
                400, f"Invalid input JSON: cannot deserialize value ({type(problem).__name__})"
            )
        return Answer(refused.status, encode(refused.envelope(headers[0][1].decode())))

    def _request(self, found: Match, scope: Scope, body: bytes, headers: Headers) -> Request:
        """Admit a request: its length, its token, its limits. Raises `ApiError`."""
        if len(scope["path"]) + len(scope["query_string"]) > URL_MOST:
            raise ApiError(414, "URI Too Long")
        authorization, host = b"", b"api.hubapi.com"
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"host":
                host = value
        grant = None
        if found.route.limit:
            grant = self.world.auth.check(authorization)
            daily = grant.expires_ms is None
            headers += self.api.limits.take(found.route.limit, grant.token, daily_headers=daily)
        return Request(
            scope["method"], scope["path"], scope["query_string"], body, params=found.params,
            version=found.version, base_url=f"http://{host.decode('latin-1')}", grant=grant,
        )  # fmt: skip
