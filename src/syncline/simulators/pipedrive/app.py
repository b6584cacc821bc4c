"""The simulator as an ASGI application: tokens, scopes and quotas around the handlers."""

from __future__ import annotations

import json

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive import control, faults
from syncline.simulators.pipedrive.account import Call
from syncline.simulators.pipedrive.answers import ApiError, Query, Request, invalid, scope_missing
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.limits import Refusal
from syncline.simulators.pipedrive.routing import Match, match
from syncline.simulators.pipedrive.sending import Sender
from syncline.simulators.pipedrive.subscribing import create_webhook
from syncline.simulators.pipedrive.world import World
from syncline.simulators.serving import Around, Headers, Receive, Scope, Send, read_body

_JSON = b"application/json; charset=utf-8"


class App:
    """An ASGI application over one world. All state is in the world, so that several may share it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = Api(world)
        self._around = Around(world, self.api.faults, faults.answer_of, _JSON)

    @property
    def sending(self) -> Sender:
        return self.api.webhooks

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
        found = match(scope["method"], path)
        if found.route.handler is create_webhook and self.world.settings.check_webhook_urls:
            await self._try_address(body)
        await self._around.serve(
            scope, receive, send, found.route.name,
            lambda headers: self._answer(found, scope, body, headers),
        )  # fmt: skip

    async def _try_address(self, body: bytes) -> None:
        """Find out beforehand whether somebody listens where a new webhook is to go."""
        try:
            url = json.loads(body)["subscription_url"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(url, str) and await self.api.webhooks.reaches(url):
            self.api.unreachable.discard(url)
        else:
            self.api.unreachable.add(str(url))

    def _answer(self, found: Match, scope: Scope, body: bytes, headers: Headers) -> Answer:
        """Carry out a request; fills in the headers of its limits."""
        cost = found.route.cost
        try:
            request = self._read(found, scope, body)
            if request.grant is not None:
                wall = self.api.limits.find_wall(request.grant)
                if wall is not None:
                    return self._counted(wall, scope, 0)
                headers += self.api.limits.take(request.grant, cost, search=found.route.search)
                self._check_scopes(found, request)
            answer = found.route.handler(self.api, request)
        except ApiError as error:
            if isinstance(error, Refusal):
                headers += error.headers
            if error.status in (401, 429):
                cost = 0
            answer = Answer(error.status, encode(error.envelope()))
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            # Handlers read what they need of a body and leave its shape to this place; without a body
            # it is a mistake of theirs.
            if not body:
                raise
            refused = invalid(f"body: cannot be read ({type(problem).__name__})")
            answer = Answer(refused.status, encode(refused.envelope()))
        return self._counted(answer, scope, cost)

    def _counted(self, answer: Answer, scope: Scope, cost: int) -> Answer:
        query = scope["query_string"].decode("latin-1")
        path = f"{scope['path']}?{query}" if query else scope["path"]
        self.world.calls.append(Call(self.world.now_ms(), scope["method"], path, answer.status, cost))
        return answer

    def _read(self, found: Match, scope: Scope, body: bytes) -> Request:
        """Read a request and who makes it. Raises `ApiError` 401."""
        given = {name: value.decode("latin-1") for name, value in scope["headers"]}
        grant = None
        if found.route.needs_token:
            token = given.get(b"x-api-token", "")
            if not token and self.world.settings.query_tokens:
                token = Query(scope["query_string"]).get("api_token") or ""
            grant = self.world.auth.check(token, given.get(b"authorization", ""))
        request = Request(
            scope["method"], scope["path"], scope["query_string"], body, params=found.params,
            base_url=f"http://{given.get(b'host', 'api.pipedrive.com')}", grant=grant,
        )  # fmt: skip
        request.authorization = given.get(b"authorization", "")
        return request

    def _check_scopes(self, found: Match, request: Request) -> None:
        held = request.grant.scopes if request.grant else None
        wanted = found.route.scopes
        if held is not None and wanted and not any(scope in held for scope in wanted):
            raise scope_missing(wanted)
