import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict

from tests.kit.serving import serving
from vitrin.kit.errors import Conflict, FieldError, NotFound, TooMany
from vitrin.kit.http import create_app, serve
from vitrin.kit.http.server import CannotListen, listen
from vitrin.kit.settings import HttpSettings

LIMIT = 1000


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    sizes: list[int] = []


class NameTaken(Conflict):
    code, title = "name_taken", "The name is taken"


router = APIRouter()


@router.post("/things/{thing_id}")
async def put_thing(thing_id: str, thing: Thing) -> dict[str, str]:
    if thing.name == "taken":
        raise NameTaken(
            "'taken' is used.",
            field="name",
            fix="Choose another.",
            errors=[FieldError("name", "taken", "used", "change it")],
            known=["a", "b"],
        )
    if thing.name == "boom":
        raise ZeroDivisionError("secret inner text")
    if thing.name == "slow":
        raise TooMany(retry_after_s=7)
    return {"id": thing_id, "name": thing.name}


@router.get("/page")
async def page(limit: Annotated[int, Query(ge=1, le=500)] = 10) -> int:
    return limit


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@router.post("/imports/big")
async def big(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@router.get("/gone")
async def gone() -> None:
    raise NotFound


class Parts:
    broken = False

    async def database(self) -> None:
        if self.broken:
            raise ConnectionError("no route to the database")


parts = Parts()


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = HttpSettings(service="probe", body_bytes_max=LIMIT)
    app = create_app(
        title="Probe",
        description="A kit application.",
        version="1",
        settings=settings,
        routers=[router],
        readiness={"database": parts.database},
        state={},
        body_limits={"/imports": 5 * LIMIT},
    )
    async with serving(app, settings) as client:
        yield client


async def test_the_documentation_needs_no_other_host(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc"):
        page = (await client.get(path)).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert loaded
        for address in loaded:
            assert (await client.get(address)).status_code == 200, address


async def test_a_refusal_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/1", json={"name": "taken"}, headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json() == {
        "type": "urn:vitrin:problem:name_taken",
        "title": "The name is taken",
        "status": 409,
        "code": "name_taken",
        "detail": "'taken' is used.",
        "fix": "Choose another.",
        "field": "name",
        "errors": [{"field": "name", "code": "taken", "message": "used", "fix": "change it"}],
        "known": ["a", "b"],
        "request_id": "r-1",
    }


async def test_malformed_input_names_every_field_and_repeats_no_value(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/1", json={"sizes": [1, "hush-hush"], "colour": "red"})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "malformed"
    assert [(one["field"], one["code"]) for one in problem["errors"]] == [
        ("name", "missing"),
        ("sizes[1]", "invalid"),
        ("colour", "field_unknown"),
    ]
    assert "hush-hush" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/page", 405, "method_not_allowed"),
        ("GET", "/page?limit=0", 422, "malformed"),
        ("GET", "/gone", 404, "not_found"),
    ],
)
async def test_every_error_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_broken_json_is_malformed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/1", content=b"{no", headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "json_invalid"


async def test_an_unexpected_exception_shows_nothing_of_itself(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/1", json={"name": "boom"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret inner text" not in answer.text
    assert "Traceback" not in answer.text


async def test_too_many_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/1", json={"name": "slow"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_body_at_the_limit_passes_and_one_byte_more_does_not(client: httpx.AsyncClient) -> None:
    assert (await client.post("/raw", content=b"x" * LIMIT)).json() == LIMIT
    answer = await client.post("/raw", content=b"x" * (LIMIT + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["limit_bytes"] == LIMIT


@pytest.mark.parametrize("path", ["/raw", "/things/1"])
async def test_a_streamed_body_is_cut_off_at_the_limit(client: httpx.AsyncClient, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    answer = await client.post(path, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_path_may_have_its_own_limit(client: httpx.AsyncClient) -> None:
    assert (await client.post("/imports/big", content=b"x" * (5 * LIMIT))).json() == 5 * LIMIT
    assert (await client.post("/imports/big", content=b"x" * (5 * LIMIT + 1))).status_code == 413


async def test_a_request_id_that_is_no_id_is_replaced(client: httpx.AsyncClient) -> None:
    answer = await client.get("/page", headers={"X-Request-Id": "two words"})
    assert answer.headers["x-request-id"] != "two words"
    assert len(answer.headers["x-request-id"]) == 36


async def test_probes(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"database": "ok"}}
    parts.broken = True
    try:
        answer = await client.get("/readyz")
    finally:
        parts.broken = False
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ConnectionError: no route to the database"}


async def test_metrics_count_by_route_template(client: httpx.AsyncClient) -> None:
    for thing_id in ("77", "78"):
        await client.post(f"/things/{thing_id}", json={"name": "counted"})
    text = (await client.get("/metrics")).text
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("vitrin_http_requests_total{") and "/things" in line and 'status="200"' in line
    )
    assert 'route="/things/{thing_id}"' in line
    assert 'service="probe"' in line
    assert float(line.split()[-1]) >= 2
    assert "/things/77" not in text


async def test_openapi_describes_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/things/{thing_id}"]["post"]["responses"]
    assert sorted(responses) == ["200", "default"]
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)


async def test_a_taken_port_is_named() -> None:
    sock = listen("127.0.0.1", 0)
    sock.listen()
    port = sock.getsockname()[1]
    try:
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}"):
            await serve(create_app_bare(), HttpSettings(port=port), asyncio.Event())
    finally:
        sock.close()


def create_app_bare() -> FastAPI:
    return create_app(
        title="x",
        description="",
        version="1",
        settings=HttpSettings(),
        routers=[],
        readiness={},
        state={},
    )
