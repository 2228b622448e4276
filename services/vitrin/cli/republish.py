"""`vitrin republish`: the whole state of a compacted topic, from its owner's tables."""

import time
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

POLL_S = 0.3


def register(app: typer.Typer) -> None:
    app.command()(republish)


def republish(
    topic: Annotated[str, typer.Argument(help="A topic of deploy/kafka/topics.yaml, as catalog.item.v1.")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and show how far it is.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Publish a topic's whole state anew. Consumers drop what they have; it goes on after a restart of its owner."""
    from vitrin.cli.client import ServiceClient
    from vitrin.cli.settings import operator_token

    output = Output(as_json=as_json)
    token = operator_token()
    if token is None:
        raise CliFailure(
            "no operator token",
            fix="set VITRIN_OPERATOR_TOKEN to the value that the services were started with",
            code="operator_token_missing",
            exit_code=Exit.UNAUTHORISED,
        )
    with ServiceClient(_owner(topic), token=token) as owner:
        job: dict[str, Any] = owner.post("/v1/ops/republish", {"topic": topic})
        shown = -1
        while wait and job["state"] == "running":
            if job["records"] != shown:
                shown = job["records"]
                output.note(f"{topic}: {shown} records of {job['brands']} brands")
            time.sleep(POLL_S)
            job = owner.get(f"/v1/ops/republish/{job['id']}")
    if as_json:
        output.json(job)
    elif job["state"] == "done":
        output.note(f"{topic}: {job['records']} records of {job['brands']} brands were published")
    else:
        output.note(f"{topic}: job {job['id']} runs")


def _owner(topic: str) -> str:
    """The service that topics.yaml names as the producer."""
    from vitrin.cli.process import settings_group
    from vitrin.kit.kafka.declared import load_topics
    from vitrin.kit.settings import KafkaSettings

    declared = {spec.name: spec.producer for spec in load_topics(settings_group(KafkaSettings).topics_file)}
    if topic not in declared:
        raise CliFailure(
            f"there is no topic {topic!r}",
            fix="one of " + ", ".join(sorted(declared)),
            code="topic_unknown",
            exit_code=Exit.NOT_FOUND,
        )
    return declared[topic]
