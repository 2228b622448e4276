"""`vitrin up`, `serve`, `migrate`, `topics`: what starts or prepares processes."""

import importlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output


class Service(StrEnum):
    ACCOUNTS = "accounts"
    CATALOG = "catalog"
    SHOP_SYNC = "shop_sync"
    NOTIFY = "notify"
    RETARGETING = "retargeting"


class Role(StrEnum):
    API = "api"
    WORKER = "worker"
    ALL = "all"


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command()(migrate)
    app.command()(topics)


def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Import the demo catalog and show it arriving.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the demo: 0 only if what must be live is live.")
    ] = False,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="Import this file instead of the demo catalog.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start everything a local Vitrin needs, watch it, and stop it cleanly on Ctrl-C."""
    from vitrin.cli.supervisor.command import run_up

    if (once or catalog is not None) and not demo:
        demo = True
    if catalog is not None and not catalog.is_file():
        raise CliFailure(f"there is no file {catalog}", code="file_missing", exit_code=Exit.USAGE)
    run_up(Output(as_json=as_json), demo=demo, once=once, catalog=catalog)


def serve(
    service: Annotated[Service, typer.Argument(help="Which service.")],
    role: Annotated[
        Role, typer.Option(help="api: HTTP and gRPC; worker: relay, consumers, loops.")
    ] = Role.ALL,
) -> None:
    """Run one service until SIGTERM or Ctrl-C. Its settings come from the environment."""
    from vitrin.cli.serving import become

    _load(f"vitrin.{service.value}.settings")
    become(service.value, role.value)


def migrate(
    services: Annotated[
        list[Service] | None, typer.Argument(help="Which services; all when none is named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create databases and roles where they are missing, and bring every schema up to date."""
    from vitrin.cli.process import settings_group
    from vitrin.kit.db.migrate import create_hint_database
    from vitrin.kit.db.migrate import migrate as migrate_one
    from vitrin.kit.settings import DatabaseSettings

    output = Output(as_json=as_json)
    settings = settings_group(DatabaseSettings)
    names = [service.value for service in services or list(Service)]
    with _database_errors():
        if settings.hint_url is not None:
            create_hint_database(settings)
        revisions = {name: migrate_one(settings, name) for name in names}
    rows = [{"service": name, "revision": revision} for name, revision in revisions.items()]
    output.table(rows, columns={"service": "service", "revision": "schema at"})
    if as_json:
        output.json({"revisions": revisions})


def topics(
    file: Annotated[
        Path | None, typer.Option("--file", help="Declarations; deploy/kafka/topics.yaml by default.")
    ] = None,
    recreate: Annotated[
        list[str] | None,
        typer.Option(
            "--recreate",
            metavar="TOPIC",
            help="Delete this topic, which has the wrong number of partitions, with all it holds, and make it anew. "
            "Its producer sends again what is needed. May be given several times.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create the declared topics that the broker does not have; nothing else ever creates one."""
    from vitrin.cli.process import settings_group
    from vitrin.cli.settings import running_bootstrap
    from vitrin.kit.kafka import admin
    from vitrin.kit.kafka.client import BrokerUnavailable
    from vitrin.kit.settings import KafkaSettings

    output = Output(as_json=as_json)
    settings = settings_group(KafkaSettings)
    if "bootstrap" not in settings.model_fields_set:
        settings = settings.model_copy(update={"bootstrap": running_bootstrap() or settings.bootstrap})
    try:
        specs = admin.load_topics(file if file is not None else settings.topics_file)
        created = admin.ensure_topics(settings, specs, recreate=recreate or ())
    except BrokerUnavailable as silence:
        raise CliFailure(
            f"cannot reach the broker at {settings.bootstrap}: {silence}",
            fix="set VITRIN_KAFKA_BOOTSTRAP to where it runs",
            code="unreachable",
            exit_code=Exit.UNREACHABLE,
        ) from silence
    except admin.TopicShapeRight as right:
        raise CliFailure(
            f"nothing to recreate, {right}",
            fix="--recreate is for a declared topic that has the wrong number of partitions",
            code="topic_shape_right",
        ) from right
    except (admin.TopicShapeWrong, OSError, KeyError) as wrong:
        raise CliFailure(f"{type(wrong).__name__}: {wrong}", code="topics_wrong") from wrong
    output.table(
        [{"topic": spec.name, "partitions": spec.partitions, "new": spec.name in created} for spec in specs],
        columns={"topic": "topic", "partitions": "partitions", "new": "created now"},
    )
    if as_json:
        output.json({"topics": [spec.name for spec in specs], "created": list(created)})


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and name.startswith(missing.name):
            raise CliFailure(f"this installation has no {name}", code="not_installed") from missing
        raise


def _load(name: str) -> Any:
    from vitrin.kit.settings import SettingsInvalid

    try:
        return _module(name).load_settings()
    except SettingsInvalid as wrong:
        raise CliFailure(str(wrong), code="settings_invalid", exit_code=Exit.USAGE) from wrong


def _database_errors() -> Any:
    from vitrin.cli.process import database_errors

    return database_errors()
