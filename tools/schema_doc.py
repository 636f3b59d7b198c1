"""Write docs/schema.md from a freshly migrated private Postgres, or with --check tell whether it is current."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from wikimirror.mirror.connect import connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import upgrade
from wikimirror.mirror.schema_doc import schema_markdown

TARGET = Path(__file__).resolve().parent.parent / "docs" / "schema.md"


async def generate() -> str:
    """The page's text."""
    with tempfile.TemporaryDirectory(prefix="wm-") as data_dir:
        async with EmbeddedPostgres(Path(data_dir), fsync=False) as server:
            await upgrade(server.dsn())
            async with await connect(server.dsn()) as session:
                return await schema_markdown(session)


def main() -> int:
    """0: written, or current; 3: --check found it different."""
    text = asyncio.run(generate())
    if "--check" in sys.argv[1:]:
        current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        if not current:
            print(f"{TARGET.name} is not current: run python tools/schema_doc.py")
        return 0 if current else 3
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
