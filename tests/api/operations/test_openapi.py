"""The API's description is complete, and the API does what it describes, whatever it is sent."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.checks import CHECKS
from threaded import Served, in_thread

from syncline.api.openapi import DescribedRoute, describe, list_routes
from syncline.api.problems import PROBLEM
from syncline.api.routers import ROUTERS
from syncline.config import Settings
from syncline.domain.callers import PERMISSIONS
from syncline.domain.sealing import new_key
from syncline.store.urls import DatabaseUrls

#: Who may call these is proven otherwise: signing in is how one becomes somebody.
BY_ANYBODY = "/api/v1/session"
#: Streams do not end by themselves.
ENDLESS = {"/api/v1/events"}


def _make() -> FastAPI:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    return app


APP = _make()
OPERATIONS = [
    (path, method, operation)
    for path, operations in APP.openapi()["paths"].items()
    for method, operation in operations.items()
]


def _ids() -> Iterator[str]:
    for path, method, _ in OPERATIONS:
        yield f"{method} {path}"


def test_every_route_says_what_it_needs() -> None:
    routes = list_routes(APP)
    assert len(routes) > 60
    nameless = [each.path for each in routes if each.permission not in PERMISSIONS and not _is_public(each)]
    assert nameless == []


def _is_public(route: DescribedRoute) -> bool:
    return route.module.rpartition(".")[2] in {"session", "single_sign_on"} or (
        # Whoever was invited proves it by the invitation's own token.
        route.path.startswith("/api/v1/invitations/")
    )


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=_ids())
def test_every_operation_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation.get("summary")
    assert operation.get("tags")
    answers = {int(status): each for status, each in operation["responses"].items()}
    good = [each for status, each in answers.items() if status < 300]
    assert good
    with_body = [
        each for each in good if any(kind.get("schema") for kind in each.get("content", {}).values())
    ]
    assert not with_body or any(_has_example(each) for each in with_body), "no example"
    assert {400, 422, 429, 503} <= set(answers)
    for status, each in answers.items():
        if status >= 400:
            assert PROBLEM in each["content"], status
            assert each["content"][PROBLEM]["example"]["status"] == status
    if "requestBody" in operation:
        assert method in {"post", "put", "patch", "delete"}
        kinds = operation["requestBody"]["content"]
        assert any(_shows(each) for each in kinds.values()), f"{path} shows no request"
    if method == "post":
        names = {each["name"] for each in operation.get("parameters", [])}
        assert "Idempotency-Key" in names


def _has_example(answer: dict[str, Any]) -> bool:
    return any(_shows(each) for each in answer.get("content", {}).values())


def _shows(content: dict[str, Any]) -> bool:
    if "example" in content or "examples" in content:
        return True
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = APP.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    parts = [schema, *schema.get("anyOf", [])]
    named = [each["$ref"].rpartition("/")[2] for each in parts if "$ref" in each]
    parts.extend(APP.openapi()["components"]["schemas"][name] for name in named)
    if any("example" in part or "examples" in part for part in parts):
        return True
    # Nothing to be filled in, or each part shows what goes in it.
    properties = [each for part in parts for each in part.get("properties", {}).values()]
    return bool(properties) and all(
        "example" in each or "examples" in each or "default" in each for each in properties
    )


def test_every_example_of_an_answer_fits_what_is_described() -> None:
    from jsonschema import Draft202012Validator

    told = APP.openapi()
    faults: list[str] = []
    for path, method, operation in OPERATIONS:
        contents = [
            (status, kind, content)
            for status, answer in operation["responses"].items()
            for kind, content in answer.get("content", {}).items()
        ]
        for status, kind, content in contents:
            if "json" not in kind or "example" not in content or not content.get("schema"):
                continue
            schema = {**content["schema"], "components": told["components"]}
            faults.extend(
                f"{method} {path} {status}: {each.json_path} {each.message}"
                for each in Draft202012Validator(schema).iter_errors(content["example"])
            )
    assert faults == []


def test_the_description_is_json_and_names_no_schema_that_is_not_there() -> None:
    text = json.dumps(APP.openapi())
    names = {each.partition('"')[0] for each in text.split('"#/components/schemas/')[1:]}
    assert names <= set(APP.openapi()["components"]["schemas"])


@pytest.fixture(scope="module")
def served(server: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One installation for all of it."""
    import asyncio

    name = "openapi_" + os.urandom(6).hex()
    asyncio.run(server.create(name, template))
    urls: DatabaseUrls = server.urls_of(name)
    configured = Settings(
        database_url=SecretStr(urls.app),
        admin_database_url=SecretStr(urls.admin),
        reader_database_url=SecretStr(urls.reader),
        home=tmp_path_factory.mktemp("home"),
        secret_key=SecretStr(new_key()),
    )
    with in_thread(configured) as running:
        yield running
    server.dropped.append(name)


WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
#: How many requests each operation gets.
EXAMPLES = 5
MANY = 200


def _attack(served: Served, path: str, method: str, examples: int) -> None:
    operation = SCHEMA[path][method.upper()]
    checks = [CHECKS.get_one(name) for name in WANTED]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples == EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def attack(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy())
        headers = {"authorization": f"Bearer {served.key}"}
        case.call_and_validate(base_url=served.url, headers=headers, checks=checks, timeout=30)

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    attack()


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, method, _ in OPERATIONS if path not in ENDLESS],
    ids=[each for each in _ids() if each.partition(" ")[2] not in ENDLESS],
)
def test_whatever_is_sent_is_answered_as_described(served: Served, path: str, method: str) -> None:
    _attack(served, path, method, EXAMPLES)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, method, _ in OPERATIONS if path not in ENDLESS],
    ids=[each for each in _ids() if each.partition(" ")[2] not in ENDLESS],
)
def test_however_much_is_sent(served: Served, path: str, method: str) -> None:
    _attack(served, path, method, MANY)
