"""`make mutation`: do the tests notice a changed decision? Mutants of the pure modules, each in a process of its own.

cosmic-ray makes the mutants; nothing is written to the sources: a forked child imports the mutated text instead. A
child runs the drills and the simulation with few seeds (under a second), then the module's unit tests, until something
fails. These tests are pure: they run without the suite's conftest, whose fixtures import the whole house. Answers per
module how many mutants there are, how many were tried (a sample, the same for the same seed) and killed, how many of
those only by the limit of processor time, and the survivors with their change. A larger sample with the same seed
begins with the smaller one.
"""

import argparse
import ast
import difflib
import importlib.abc
import importlib.util
import io
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

SERVICES = Path("services")
DELIVERY = "tests/kit/delivery/test_"
SYNC = "tests/shop_sync/test_"
NOTIFY = "tests/notify/test_domain.py"
MODULES: dict[str, list[str]] = {
    "vitrin.kit.delivery.limiter": [f"{DELIVERY}limiter.py"],
    "vitrin.kit.delivery.breaker": [f"{DELIVERY}breaker.py"],
    "vitrin.kit.delivery.bisect": [f"{DELIVERY}bisect.py"],
    "vitrin.kit.delivery.fairness": [f"{DELIVERY}fairness.py"],
    "vitrin.shop_sync.domain.sync": [f"{SYNC}sync.py"],
    "vitrin.shop_sync.domain.batching": [f"{SYNC}decisions.py"],
    "vitrin.shop_sync.domain.schedule": [f"{SYNC}decisions.py"],
    "vitrin.shop_sync.domain.decide": [f"{SYNC}decisions.py"],
    "vitrin.shop_sync.domain.guard": [f"{SYNC}guard.py"],
    "vitrin.shop_sync.domain.replica": [f"{SYNC}replica.py"],
    "vitrin.shop_sync.domain.stuck": [f"{SYNC}watchdog.py::test_why_it_does_not_move"],
    "vitrin.kit.outbox.decisions": ["tests/kit/test_outbox_decisions.py"],
    "vitrin.kit.outbox.resending": ["tests/kit/test_outbox_decisions.py"],
    "vitrin.kit.webhook_signing": [NOTIFY],
    "vitrin.notify.domain.news": [NOTIFY],
    "vitrin.notify.domain.outcome": [NOTIFY],
    "vitrin.notify.domain.schedule": [NOTIFY],
}
DRILL_SEEDS, WORLD_SEEDS = 30, 20
CPU_MAX_S = 60
"""Of the tests without a mutation."""
CPU_FACTOR, CPU_LEAST_S = 3, 5
"""A mutant may use so many times what they used, and at least so much: most that never end are found out soon."""
KILLED, SURVIVED = 0, 7


class Fate(StrEnum):
    """`TIMED_OUT`: it never ended, or took so much longer that nobody would have merged it."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Mutant:
    module: str
    operator: str
    occurrence: int

    @property
    def path(self) -> Path:
        return SERVICES / (self.module.replace(".", "/") + ".py")

    def text(self) -> str:
        return _mutated(self.path, self.operator, self.occurrence)

    def difference(self) -> list[str]:
        lines = difflib.unified_diff(
            self.path.read_text().splitlines(), self.text().splitlines(), lineterm="", n=0
        )
        return [line for line in lines if line[:1] in "-+@" and line[:3] not in {"---", "+++"}]


@cache
def _mutated(path: Path, operator: str, occurrence: int) -> str:
    """Kept: it parses the whole module, which takes longer than most mutants live."""
    if not operator:
        return path.read_text()
    mutated: str | None = mutate_code(path.read_text(), get_operator(operator)(), occurrence)
    assert mutated is not None
    return mutated


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another text."""

    def __init__(self, mutant: Mutant) -> None:
        self._name, self._path, self._text = mutant.module, mutant.path, mutant.text()

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._text, str(self._path), "exec"), module.__dict__)


def mutants_of(module: str) -> list[Mutant]:
    path = SERVICES / (module.replace(".", "/") + ".py")
    nodes = list(ast_nodes(get_ast(path.read_text())))
    found = []
    for name in sorted(operator_names()):
        if "Variable" in name:
            continue  # they want to be told which
        operator = get_operator(name)()
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        found += [Mutant(module, name, number) for number in range(count)]
    return found


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Without those that are no other program: a type hint that nobody looks at, how a dataclass is stored, a property
    of a protocol, whether a parameter may be named. And without those that are no program at all (`def f(a, +, b)`),
    which every test would kill."""
    chance = random.Random(f"{seed} {mutants[0].module}")
    chosen: list[Mutant] = []
    seen: set[str] = {_decides(mutants[0].path.read_text())}
    for mutant in chance.sample(list(mutants), len(mutants)):
        try:
            decides = _decides(mutant.text())
        except SyntaxError:
            continue
        if decides in seen or _is_about_storage(mutant):
            continue
        seen.add(decides)
        chosen.append(mutant)
        if len(chosen) == count:
            break
    return chosen


class _WithoutTypes(ast.NodeTransformer):
    """Two programs that differ in hints and kinds of parameters only are the same after it."""

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        named = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        defaults = [*node.defaults, *(one for one in node.kw_defaults if one is not None)]
        return ast.arguments([], named, node.vararg, [], [], node.kwarg, defaults)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node


def _decides(text: str) -> str:
    """What the program does, as far as its text says. Raises SyntaxError."""
    compile(text, "a mutant", "exec")
    return ast.dump(_WithoutTypes().visit(ast.parse(text)))


def _is_about_storage(mutant: Mutant) -> bool:
    """`frozen` and `slots` of a dataclass, and a property of a protocol, decide nothing."""
    removed = [line for line in mutant.difference() if line.startswith("-") and line.strip("- ")]
    return all(line.strip("- ").startswith(("@dataclass", "@property")) for line in removed)


def again(report: Path, module: str) -> list[Mutant]:
    """The survivors of an earlier report: those that have the same operator and change by now (a change of the source
    before them moves their lines, so the place does not count)."""
    told = json.loads(report.read_text()).get(module, {}).get("survivors", [])
    wanted = {(one["operator"], _without_places(one["change"])) for one in told}
    operators = {operator for operator, _ in wanted}
    return [
        one
        for one in mutants_of(module)
        if one.operator in operators and (one.operator, _without_places(one.difference())) in wanted
    ]


def _without_places(change: Sequence[str]) -> str:
    return "\n".join(line for line in change if not line.startswith("@@"))


def live(mutant: Mutant, cpu_max_s: int) -> int:
    """In the child: 0 when something noticed."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_max_s, cpu_max_s))
    sys.meta_path.insert(0, Instead(mutant))
    sink = io.StringIO()
    with redirect_stdout(sink), redirect_stderr(sink):
        try:
            # Only here, in the child: they import the mutated module.
            from tests.simulation.drills import drill  # noqa: PLC0415
            from tests.simulation.scenario import scenario  # noqa: PLC0415
            from tests.simulation.world import run  # noqa: PLC0415

            for seed in range(DRILL_SEEDS):
                drill(seed)
            for seed in range(WORLD_SEEDS):
                run(scenario(seed))
        except Exception:
            return KILLED
        hypothesis.settings.register_profile("mutation", derandomize=True, database=None, max_examples=40)
        hypothesis.settings.load_profile("mutation")
        tests = MODULES[mutant.module]
        # What is imported already cannot be rewritten by pytest, which says so: no warning of ours.
        quiet = ["-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-o", "filterwarnings=ignore"]
        failed = pytest.main([*quiet, *tests])
    return KILLED if failed else SURVIVED


def attempt(mutant: Mutant, cpu_max_s: int = CPU_MAX_S) -> tuple[Fate, float]:
    """What became of it, and the processor time in seconds."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = KILLED
        try:
            code = live(mutant, cpu_max_s)
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    return _fate(status), used.ru_utime + used.ru_stime


def _fate(status: int) -> Fate:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}:
        return Fate.TIMED_OUT
    return Fate.SURVIVED if os.WIFEXITED(status) and os.WEXITSTATUS(status) == SURVIVED else Fate.KILLED


def warm() -> None:
    """What is slow to import and never mutated."""
    for name in (
        "httpx",
        "sqlalchemy.ext.asyncio",
        "grpc",
        "pydantic_settings",
        "pytest",
        "hypothesis",
        "orjson",
        "hypothesis.extra",
        "hypothesis.strategies",
        "_hypothesis_pytestplugin",
        "grpc.aio",
        "sqlalchemy.dialects.postgresql.psycopg",
        "vitrin.protos.catalog.v1.catalog_pb2",
    ):
        importlib.import_module(name)
    for name in ("fastapi", "psycopg", "google.protobuf", "prometheus_client", "structlog"):
        importlib.import_module(name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutation")
    parser.add_argument("--each", type=int, default=40, help="mutants per module; 0 for all")
    parser.add_argument("--after", type=int, default=0, help="without the first of the sample, tried before")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="modules whose name contains this")
    parser.add_argument("--out", default="var/mutation.json")
    parser.add_argument("--again", type=Path, help="only the survivors of this earlier report")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warm()
    report = {}
    for module in (name for name in MODULES if asked.only in name):
        began_s = time.monotonic()
        whole = again(asked.again, module) if asked.again else mutants_of(module)
        if not whole:
            continue
        fate, used_s = attempt(Mutant(module, "", 0))
        if fate is not Fate.SURVIVED:
            print(f"{module}: its tests fail without a mutation", file=sys.stderr)
            return 1
        count = asked.after + asked.each if asked.each and not asked.again else len(whole)
        chosen = sample(whole, count, asked.seed)[asked.after :]
        with ThreadPoolExecutor(2) as pool:
            limit_s = max(CPU_LEAST_S, round(CPU_FACTOR * used_s))
            fates = [fate for fate, _ in pool.map(partial(attempt, cpu_max_s=limit_s), chosen)]
        survived = [one for one, fate in zip(chosen, fates, strict=True) if fate is Fate.SURVIVED]
        report[module] = {
            "mutants": len(whole),
            "tried": len(chosen),
            "killed": len(chosen) - len(survived),
            "timed_out": fates.count(Fate.TIMED_OUT),
            "survivors": [{"operator": one.operator, "change": one.difference()} for one in survived],
        }
        took_s = time.monotonic() - began_s
        print(
            f"{module}: {len(whole)} mutants, {len(chosen)} tried, {len(survived)} survived, "
            f"{fates.count(Fate.TIMED_OUT)} timed out, {took_s:.0f} s"
        )
        for one in survived:
            print("   ", *one.difference(), sep="\n    ")
        sys.stdout.flush()
    Path(asked.out).parent.mkdir(parents=True, exist_ok=True)
    Path(asked.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
