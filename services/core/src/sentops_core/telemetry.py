"""Logs: structlog over the standard library, JSON lines for machines and colours for a terminal."""

import logging
import sys

import structlog

from sentops_core import trace_context


def configure_logging(
    program: str, level: str = "INFO", *, to: logging.Handler | None = None
) -> None:
    """Send every logger's lines, ours and the libraries', through one renderer to stderr, or as JSON `to` a handler."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if to is None and sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = to or logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").setLevel("WARNING")  # the request metrics count them
    logging.getLogger("httpx").setLevel("WARNING")
    logging.getLogger("kopf.objects").setLevel("WARNING")  # a line for every event of a watch
    structlog.contextvars.bind_contextvars(program=program)


def _name_trace(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The piece of work that the line is about, named when it is written, so that requests without lines pay nothing."""
    context = trace_context.current()
    if context is not None:
        event["trace_id"], event["span_id"] = context.trace_id, context.span_id
    return event
