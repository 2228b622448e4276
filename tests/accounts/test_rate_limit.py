"""The quota of a key at the door: headers on every answer, 429 with Retry-After, nobody else held up."""

import re
from dataclasses import replace

from tests.accounts.conftest import Shop
from tests.kit.serving import serving
from vitrin.accounts.main import build_app
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.settings import HttpSettings


async def test_a_key_is_told_what_is_left_and_then_to_wait(
    shop: Shop, other: Shop, accounts_settings: AccountsSettings, database: AppDatabase
) -> None:
    http = HttpSettings(service="accounts", rate_requests_max=4, rate_window_s=86_400)
    settings = replace(accounts_settings, http=http)
    async with serving(build_app(settings, database), http) as client:

        async def get(path: str, key: str) -> tuple[int, str | None]:
            answer = await client.get(path, headers={"Authorization": f"Bearer {key}"})
            if "ratelimit" in answer.headers:
                assert answer.headers["ratelimit-policy"] == '"key";q=4;w=86400'
            return answer.status_code, answer.headers.get("ratelimit")

        assert await get("/v1/brands", shop.live) == (200, '"key";r=3;t=21600')
        status, left = await get(f"/v1/brands/{other.id}", shop.live)
        assert (status, left is not None and left.startswith('"key";r=2;')) == (404, True)
        assert (await get("/v1/brands?limit=x", shop.live))[0] == 200
        body = {"name": "k", "role": "viewer"}
        headers = {"Authorization": f"Bearer {shop.live}", "Idempotency-Key": "a"}
        made = await client.post("/v1/api-keys", json=body, headers=headers)
        assert made.headers["ratelimit"].startswith('"key";r=0;')
        refused = await client.post("/v1/api-keys", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["content-type"] == "application/problem+json"
        assert 0 < int(refused.headers["retry-after"]) <= 21_600
        assert re.fullmatch(r'"key";r=0;t=\d+', refused.headers["ratelimit"])
        assert (await get("/v1/brands", other.live))[0] == 200
        assert await get("/v1/brands", "nonsense") == (401, None)
        assert "ratelimit" not in (await client.get("/livez")).headers


async def test_the_documents_say_so(shop: Shop) -> None:
    paths = (await shop.http.get("/openapi.json")).json()["paths"]
    assert "RateLimit" in paths["/v1/api-keys"]["get"]["responses"]["429"]["headers"]
    assert "429" not in paths["/v1/ops/outgoing"]["get"]["responses"]
