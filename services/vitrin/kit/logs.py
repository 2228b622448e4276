"""Structured logs: readable lines on a terminal, one JSON object per line otherwise, secrets masked in both.

Brand, request and event ids are context: `with log_context(brand=..., request_id=...)` puts them on every
line that is written inside, whichever library writes it.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

import orjson
import structlog

from vitrin.kit.settings import ProcessSettings

MASK = "***"
_SECRET_NAMES = re.compile(
    r"(^|_)(authorization|password|secret|token|access_token|api_key|cookie|ciphertext)$", re.IGNORECASE
)
_SECRET_VALUES = re.compile(r"\b([vp]k_(?:live|test)_[a-z0-9]+_)[A-Za-z0-9\-]+|(?i:\b(bearer\s+)[^\s\"',]+)")
_QUIET = {"kafka": logging.WARNING, "httpx": logging.WARNING, "httpcore": logging.WARNING}


def mask_text(text: str) -> str:
    """API keys keep their id, bearer credentials only the word."""
    return _SECRET_VALUES.sub(lambda found: (found.group(1) or found.group(2)) + MASK, text)


def _masked(name: str, value: object) -> object:
    if _SECRET_NAMES.search(name) and value is not None:
        return MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked("", inner) for inner in value]
    return value


def mask_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor; runs after exceptions were formatted, so it sees their text too."""
    for name, value in event.items():
        event[name] = _masked(name, value)
    return event


def _to_json(event: object, **_options: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(settings: ProcessSettings, *, service: str, stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's logging to one stream (standard error by default)."""
    stream = stream or sys.stderr
    readable = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]

    def with_process(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        event.setdefault("instance", settings.instance)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_process,
    ]
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        mask_secrets,
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if readable
        else structlog.processors.JSONRenderer(serializer=_to_json),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, quiet))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def log_context(**ids: object) -> AbstractContextManager[None]:
    """Puts `brand`, `request_id`, `event_id` and the like on every line inside the block."""
    return structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in ids.items()})
