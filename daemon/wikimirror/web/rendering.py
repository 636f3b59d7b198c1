"""HTML of the pages: templates without any script, one style sheet within the page, and headers that allow no more."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wikimirror.observe.runbooks import Runbook
from wikimirror.web import wording

_TEMPLATES: Final = Path(__file__).with_name("templates")


class Renderer:
    """Reads the templates once, when it is made: an answer waits for no disk."""

    def __init__(self, runbooks: str | None) -> None:
        """`runbooks`: the URL that the runbooks' files are below; None: they are named and not linked."""
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters |= {
            "duration": wording.duration,
            "count": wording.count,
            "words": wording.words,
            "clock": _clock,
            "breakable": _breakable,
        }
        style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
        self._environment.globals |= {"style": Markup(style), "runbook_url": runbook_urls(runbooks)}  # noqa: S704  # ours
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)
        self._headers = {
            hdrs.CONTENT_SECURITY_POLICY: _policy(style),
            hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
            hdrs.REFERRER_POLICY: "no-referrer",
        }

    def page(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """An answer of HTML."""
        html = self._environment.get_template(template).render(**values)
        return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=self._headers)


def runbook_urls(base: str | None) -> dict[Runbook, str | None]:
    """Where each runbook is."""
    return {runbook: None if base is None else f"{base}/{runbook}.md" for runbook in Runbook}


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%H:%M:%S} UTC"


def _breakable(name: str) -> Markup:
    """A long name that may go on in the next line where a part of it ends."""
    parts = re.split(r"(?<=[._\-\[])|(?<=[a-z])(?=[A-Z])", name)
    return Markup("<wbr>").join(parts)
