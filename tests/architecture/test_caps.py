"""No god files: files up to 500 lines, functions up to 70; generated code and migrations aside."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def python_files() -> list[Path]:
    """Everything we write by hand, generated protobuf code and migrations aside."""
    found = [
        path
        for folder in ("services", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "/protos/" not in path.as_posix() and "/migrations/" not in path.as_posix()
    ]
    assert len(found) > 100
    return found


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_size_caps(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= FILE_LINES_MAX
    long_functions = [
        f"{node.name}: {(node.end_lineno or node.lineno) - node.lineno + 1}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long_functions == []


def test_every_package_is_visible_to_the_import_checker() -> None:
    """A folder without __init__.py is not seen by import-linter, so its imports would be free."""
    blind = [
        folder.relative_to(ROOT).as_posix()
        for folder in {path.parent for path in (ROOT / "services" / "vitrin").rglob("*.py")}
        if not (folder / "__init__.py").exists()
    ]
    assert blind == []


def test_nothing_is_left_for_later() -> None:
    """Markers of unfinished work, addresses of one machine, patched imports: none of them is committed."""
    words = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "unittest" + ".mock", "mocker" + ".patch")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in python_files()
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_no_path_of_one_machine() -> None:
    """A clone elsewhere has neither our home nor our workplace."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in python_files()
        if any(
            place in path.read_text(encoding="utf-8")
            for place in ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/")
        )
    ]
    assert found == []
