import pytest

from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    SettingsInvalid,
    load,
)


def test_service_groups_read_their_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_HTTP_PORT", "1234")
    monkeypatch.setenv("CATALOG_HTTP_BODY_BYTES_MAX", "77")
    monkeypatch.setenv("VITRIN_SERVICE_TOKEN", "t" * 16)
    monkeypatch.setenv("VITRIN_ACCOUNTS_GRPC", "10.0.0.1:9001")
    catalog = HttpSettings.of("catalog", port=8002)
    assert (catalog.service, catalog.port, catalog.body_bytes_max) == ("catalog", 1234, 77)
    assert HttpSettings.of("accounts", port=8001).port == 8001
    rpc = GrpcSettings.of("catalog", port=9002)
    assert (rpc.port, rpc.accounts_address, rpc.service) == (9002, "10.0.0.1:9001", "catalog")
    assert rpc.service_token.get_secret_value() == "t" * 16


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRIN_DATABASE_URL", "postgresql://someone:hush@host/db")
    monkeypatch.setenv("VITRIN_DATABASE_ROLE_PASSWORD", "hush")
    settings = DatabaseSettings()
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())
    assert settings.role_password is not None
    assert settings.role_password.get_secret_value() == "hush"


def test_missing_and_wrong_values_are_named_without_their_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITRIN_DATABASE_URL", raising=False)
    with pytest.raises(SettingsInvalid, match="VITRIN_DATABASE_URL: Field required"):
        load(DatabaseSettings)
    monkeypatch.setenv("VITRIN_SERVICE_TOKEN", "short-hush")
    with pytest.raises(SettingsInvalid, match=r"VITRIN_SERVICE_TOKEN.*at least 16") as refused:
        load(lambda: GrpcSettings.of("catalog", port=1))
    assert "short-hush" not in str(refused.value)
    monkeypatch.setenv("VITRIN_KAFKA_MEMBERSHIP", "both")
    with pytest.raises(SettingsInvalid, match="VITRIN_KAFKA_MEMBERSHIP"):
        load(KafkaSettings)


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRIN_LOG_FORMAT", "")
    assert ProcessSettings().log_format == "auto"


@pytest.mark.parametrize(
    "group", [DatabaseSettings, KafkaSettings, HttpSettings, GrpcSettings, ProcessSettings]
)
def test_every_field_is_described(group: type[DatabaseSettings]) -> None:
    assert [name for name, field in group.model_fields.items() if not field.description] == []
