"""HTTP to the services: JSON in, JSON out, refusals as `ProblemAnswer`, silence as `Unreachable`."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx

from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer, Unreachable
from vitrin.cli.settings import PLACES, api_key, service_url

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 60.0
PAGE_ITEMS_MAX = 500

Document = dict[str, Any]


class ServiceClient:
    """One service. `token` is sent as a bearer token; use it as a context manager."""

    def __init__(self, service: str, *, token: str | None) -> None:
        self.service = service
        self.base_url = service_url(service)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> Any:
        """Returns the decoded body (None when empty). Raises ProblemAnswer or Unreachable."""
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as silence:
            raise self._unreachable(
                f"no answer in {ANSWER_TIMEOUT_S:.0f} s ({type(silence).__name__})"
            ) from silence
        except httpx.TransportError as failure:
            raise self._unreachable(str(failure)) from failure
        return _document(answer)

    def stream(self, path: str) -> Iterator[bytes]:
        """The body in pieces as they come. Raises ProblemAnswer or Unreachable, also in its middle."""
        try:
            with self._http.stream("GET", path) as answer:
                if not answer.is_success:
                    answer.read()
                    _document(answer)
                yield from answer.iter_bytes()
        except httpx.TransportError as failure:
            raise self._unreachable(str(failure) or type(failure).__name__) from failure

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        chosen = {key: value for key, value in (params or {}).items() if value is not None}
        return self.call("GET", path, params=chosen)

    def post(self, path: str, body: object) -> Any:
        return self.call("POST", path, json=body)

    def put(self, path: str, body: object) -> Any:
        return self.call("PUT", path, json=body)

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Document]:
        """Every element of a list, over all its pages."""
        cursor: str | None = None
        while True:
            page = self.get(path, {"limit": PAGE_ITEMS_MAX, **(params or {}), "cursor": cursor})
            yield from page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def _unreachable(self, reason: str) -> Unreachable:
        setting = PLACES[self.service].url_setting
        return Unreachable(service=self.service, url=self.base_url, setting=setting, reason=reason)


def with_key(service: str, key: str | None) -> ServiceClient:
    """A client with the brand's key; without any key the command ends with what to do."""
    token = api_key(key)
    if token is None:
        raise CliFailure(
            "no API key",
            fix="pass --key, set VITRIN_API_KEY, or start `vitrin up --demo`, whose key is used by itself",
            code="key_missing",
            exit_code=Exit.UNAUTHORISED,
        )
    return ServiceClient(service, token=token)


def _document(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:500]}
    if isinstance(problem, dict) and isinstance(problem.get("error"), dict):  # the sandbox's own commands
        problem = {**problem["error"], "detail": problem["error"].get("message")}
    raise ProblemAnswer(status=answer.status_code, problem=problem if isinstance(problem, dict) else {})
