import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from vitrin.kit.logs import configure_logging, get_logger, log_context
from vitrin.kit.settings import ProcessSettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(ProcessSettings(instance="probe-0", log_format="json"), service="probe", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_context_ids_are_on_every_line_inside_the_block(stream: io.StringIO) -> None:
    with log_context(brand="b-1", request_id="r-1", event_id="e-1"):
        get_logger("vitrin.probe").info("item_saved", item="i-1")
        logging.getLogger("some.library").warning("%s left", 3)
    get_logger("vitrin.probe").info("after")
    first, second, third = lines(stream)
    assert first["event"] == "item_saved"
    assert (first["brand"], first["request_id"], first["event_id"]) == ("b-1", "r-1", "e-1")
    assert (first["service"], first["instance"], first["level"]) == ("probe", "probe-0", "info")
    assert (second["event"], second["brand"], second["logger"]) == ("3 left", "b-1", "some.library")
    assert "brand" not in third


def test_secrets_are_masked_wherever_they_stand(stream: io.StringIO) -> None:
    key = "vk_live_abcdefghij234567_s3cr3t-S3CR3T"
    get_logger("x").info(
        f"got {key}",
        access_token="s3cr3t",
        authorization=f"Bearer {key}",
        nested={"password": "s3cr3t", "header": "Bearer s3cr3t", "list": [key]},
        password=None,
        tokens_total=3,
    )
    try:
        raise ValueError(f"bad {key}")
    except ValueError:
        get_logger("x").exception("failed")
    assert "s3cr3t" not in stream.getvalue()
    line = lines(stream)[0]
    assert line["event"] == "got vk_live_abcdefghij234567_***"
    assert line["nested"] == {
        "password": "***",
        "header": "Bearer ***",
        "list": ["vk_live_abcdefghij234567_***"],
    }
    assert (line["access_token"], line["password"], line["tokens_total"]) == ("***", None, 3)


def test_console_lines_are_for_people() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(ProcessSettings(log_format="console"), service="probe", stream=stream)
    try:
        get_logger("x").info("item_saved", item="i-1", secret="s3cr3t")
        get_logger("x").debug("not shown")
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    assert "item_saved" in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()
    assert "not shown" not in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())
