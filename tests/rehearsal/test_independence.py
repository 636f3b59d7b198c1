"""The simulated wiki knows nothing of what it tests."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import wikimirror.rehearsal

OWN_TRUTH = (
    "arrivals", "day", "people", "prose", "simulation", "situations", "stories", "streams", "truth", "wiki", "__init__",
)  # fmt: skip


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module or ""


def test_it_imports_the_standard_library_and_msgspec_only() -> None:
    room = Path(wikimirror.rehearsal.__file__).parent
    for name in OWN_TRUTH:
        for module in imported(room / f"{name}.py"):
            top = module.partition(".")[0]
            assert module.startswith("wikimirror.rehearsal.") or top == "msgspec" or top in sys.stdlib_module_names
