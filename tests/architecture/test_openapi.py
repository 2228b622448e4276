"""The OpenAPI documents that clients are generated from are those that the services answer."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from openapi_spec_validator import validate

ROOT = Path(__file__).parents[2]
SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")


@pytest.fixture(scope="module")
def generator(monkeypatch_module: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("openapi_documents", ROOT / "deploy/bin/openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in module.SETTINGS.items():
        monkeypatch_module.setenv(name, value)
    return module


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_the_service(generator: ModuleType, service: str) -> None:
    stored = (ROOT / "deploy/openapi" / f"{service}.json").read_text(encoding="utf-8")
    assert generator.text(service) == stored, "make docs writes it anew; look at what changed for clients"


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_good(service: str) -> None:
    document = json.loads((ROOT / "deploy/openapi" / f"{service}.json").read_text(encoding="utf-8"))
    validate(document)
    operations = [
        one["operationId"]
        for path in document["paths"].values()
        for one in path.values()
        if "operationId" in one
    ]
    assert len(operations) == len(set(operations))
    titles = [
        schema.get("title") for schema in document["components"]["schemas"].values() if schema.get("title")
    ]
    assert len(titles) == len(set(titles)), "two models of one name: clients could keep only one"
