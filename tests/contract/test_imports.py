from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import wikimirror

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("daemon", "tests", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if "mutants" not in path.parts
)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module)
    return found


def test_the_package_is_wikimirror_and_comes_from_the_source_root() -> None:
    assert wikimirror.__name__ == "wikimirror"
    assert wikimirror.__file__ is not None
    assert Path(wikimirror.__file__).parent == ROOT / "daemon" / "wikimirror"


def test_nothing_was_imported_as_daemon_wikimirror() -> None:
    assert not [name for name in sys.modules if name == "daemon" or name.startswith("daemon.")]


def test_no_source_imports_daemon() -> None:
    assert not [path for path in SOURCES if any(name.split(".")[0] == "daemon" for name in imported(path))]


def test_importing_the_command_line_loads_neither_database_nor_migrations() -> None:
    """`--help` must answer at once."""
    code = "import sys, wikimirror.cli; print(sorted({'asyncpg', 'alembic', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_it_is_for() -> None:
    without = [
        path.relative_to(ROOT)
        for path in SOURCES
        if path.is_relative_to(ROOT / "daemon")
        and path.read_text()
        and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not without
