"""What a running daemon serves over HTTP: the status page, probes and metrics."""

from __future__ import annotations

from wikimirror.web.admin import AdminServer
from wikimirror.web.details import Details
from wikimirror.web.status import StatusPages

__all__ = ["AdminServer", "Details", "StatusPages"]
