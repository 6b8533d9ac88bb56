"""Structured logs on stderr: one event a line, no personal data, no secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure_logs(log_format: str, level: str, role: str) -> None:
    """Sets up this process's logs.

    Args:
        log_format: json or console.
        level: DEBUG, INFO, WARNING or ERROR.
        role: named in every line.
    """
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(
        force=True, stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s"
    )
    for noisy in ("aiokafka", "kafka", "faststream", "httpx"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL if level != "DEBUG" else logging.INFO)


def detail_of(error: BaseException) -> str:
    """What may be logged of an error: a database's own words may quote a row, so of those only the SQLSTATE."""
    state = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    if state is not None or "DETAIL" in str(error):
        return f"SQLSTATE {state}"
    return str(error)[:200]
