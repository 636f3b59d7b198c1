"""What a running daemon serves over HTTP: probes and metrics."""

from __future__ import annotations

from wikimirror.web.admin import AdminServer

__all__ = ["AdminServer"]
