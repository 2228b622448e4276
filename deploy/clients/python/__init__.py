"""Client of Vitrin's services: one key, one generated client per service.

    from vitrin_client import Vitrin, done
    from vitrin_client.catalog.api.items import get_item

    vitrin = Vitrin("vk_live_...")
    item = done(get_item.sync_detailed("apron-denim", client=vitrin.catalog))

Every operation is a module under `<service>.api.<tag>`, with `sync_detailed` and `asyncio_detailed`. `done` gives what
was answered, or raises `ApiProblem` with the stable code, what was wrong and what to do. A creating call that may have
been sent is repeated with the same `idempotency_key`.
"""

import json
import os
from typing import Any

import httpx
from vitrin_client.accounts import AuthenticatedClient as _Accounts
from vitrin_client.catalog import AuthenticatedClient as _Catalog
from vitrin_client.notify import AuthenticatedClient as _Notify
from vitrin_client.retargeting import AuthenticatedClient as _Retargeting
from vitrin_client.shop_sync import AuthenticatedClient as _ShopSync

__all__ = ["ApiProblem", "Vitrin", "done"]

LOCAL = {
    "accounts": "http://127.0.0.1:8001",
    "catalog": "http://127.0.0.1:8002",
    "shop_sync": "http://127.0.0.1:8003",
    "notify": "http://127.0.0.1:8006",
    "retargeting": "http://127.0.0.1:8005",
}


class ApiProblem(Exception):
    """An answer that is not a success (RFC 9457). Programs decide by `code`; `fix` says what to do."""

    def __init__(self, status: int, code: str, detail: str, fix: str, retry_after_s: float | None) -> None:
        super().__init__(f"{status} {code}: {detail} {fix}".strip())
        self.status = status
        self.code = code
        self.detail = detail
        self.fix = fix
        self.retry_after_s = retry_after_s


class Vitrin:
    """`urls`: of the services that are elsewhere than on this machine; else VITRIN_<SERVICE>_URL says."""

    def __init__(self, key: str, *, urls: dict[str, str] | None = None, timeout_s: float = 30.0) -> None:
        where = {name: os.environ.get(f"VITRIN_{name.upper()}_URL", url) for name, url in LOCAL.items()}
        where |= urls or {}
        timeout = httpx.Timeout(timeout_s)
        self.accounts = _Accounts(base_url=where["accounts"], token=key, timeout=timeout)
        self.catalog = _Catalog(base_url=where["catalog"], token=key, timeout=timeout)
        self.shop_sync = _ShopSync(base_url=where["shop_sync"], token=key, timeout=timeout)
        self.notify = _Notify(base_url=where["notify"], token=key, timeout=timeout)
        self.retargeting = _Retargeting(base_url=where["retargeting"], token=key, timeout=timeout)


def done(response: Any) -> Any:
    """What a `sync_detailed` or `asyncio_detailed` call was answered. Raises ApiProblem."""
    status = int(response.status_code)
    if 200 <= status < 300:
        return response.parsed
    try:
        problem = json.loads(response.content)
    except ValueError:
        problem = {}
    retry_after = response.headers.get("retry-after", "")
    raise ApiProblem(
        status,
        str(problem.get("code", "unreadable_answer")),
        str(problem.get("detail", "")),
        str(problem.get("fix", "")),
        float(retry_after) if retry_after.isdigit() else None,
    )
