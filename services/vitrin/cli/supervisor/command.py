"""`vitrin up`: the supervisor in the foreground, with or without the demo."""

import asyncio
import signal
from pathlib import Path

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.output import Output
from vitrin.cli.supervisor.preparation import Preparation
from vitrin.cli.supervisor.settings import UpSettings
from vitrin.cli.supervisor.supervisor import Supervisor
from vitrin.kit.clock import system_clock


def run_up(output: Output, *, demo: bool, once: bool, catalog: Path | None) -> None:
    """Until Ctrl-C, or until the demo is over with `once`. Raises CliFailure for every other end."""
    settings = UpSettings.from_environment()
    code = asyncio.run(_up(settings, output, demo=demo, once=once, catalog=catalog))
    if code:
        raise SystemExit(code)


async def _up(settings: UpSettings, output: Output, *, demo: bool, once: bool, catalog: Path | None) -> int:
    supervisor = Supervisor(Preparation(settings), clock=system_clock, say=output.note)
    body = asyncio.ensure_future(_body(supervisor, output, demo=demo, once=once, catalog=catalog))
    interrupted = False

    def on_signal() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            output.note("stopping")
            body.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        code = await body
    except asyncio.CancelledError:
        if not interrupted:
            raise
        code = int(Exit.INTERRUPTED) if once else int(Exit.DONE)
    output.note("all processes are stopped; the data is in " + str(settings.var.root))
    return code


async def _body(
    supervisor: Supervisor, output: Output, *, demo: bool, once: bool, catalog: Path | None
) -> int:
    async with supervisor.running():
        code = int(Exit.DONE)
        if demo:
            code = await _demo(supervisor, output, catalog=catalog)
            supervisor.write_state()
            if once:
                return code
        _show_addresses(supervisor, output)
        output.note("Vitrin runs; Ctrl-C stops it. `vitrin status` shows it from another terminal.")
        if output.as_json and not demo:
            output.json(supervisor.state())
        await asyncio.Event().wait()
        return code


async def _demo(supervisor: Supervisor, output: Output, *, catalog: Path | None) -> int:
    from vitrin.cli.demo.story import tell

    try:
        return await asyncio.to_thread(tell, supervisor.settings.var, output, catalog)
    except CliFailure as failure:
        output.failure(failure)
        return int(failure.exit_code)


def _show_addresses(supervisor: Supervisor, output: Output) -> None:
    rows = [
        {"name": name, "api": urls.get("docs") or urls.get("page"), "metrics": urls.get("metrics")}
        for name, urls in supervisor.preparation.urls.items()
    ]
    output.table(rows, columns={"name": "service", "api": "open in a browser", "metrics": "metrics"})
