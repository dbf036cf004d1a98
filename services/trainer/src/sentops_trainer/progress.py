"""Posts progress in Kubeflow Trainer's status protocol, as stock transformers does while it fine-tunes.

For the parts that transformers knows nothing of: features, export, evaluation. A status server that is away or
refuses costs nothing but the line in its log: progress never fails a run.
"""

import json
import os
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sentops_core import trace_context

_SECONDS_BETWEEN_POSTS = 2.0
_TIMEOUT_SECONDS = 5.0
_log = structlog.get_logger()


class Progress:
    def __init__(self, url: str | None, token_path: str | None) -> None:
        self._url = url
        self._token_path = token_path
        self._started = time.monotonic()
        self._last_post = float("-inf")

    @classmethod
    def from_environment(cls) -> "Progress":
        """Where the launcher says: the same two variables that transformers reads."""
        return cls(
            os.environ.get("KUBEFLOW_TRAINER_SERVER_URL"),
            os.environ.get("KUBEFLOW_TRAINER_SERVER_TOKEN"),
        )

    def report(self, percent: int, *, force: bool = False, **metrics: str | float) -> None:
        """Say how far the run is; at most one post every two seconds unless forced."""
        now = time.monotonic()
        if not self._url or (not force and now - self._last_post < _SECONDS_BETWEEN_POSTS):
            return
        self._last_post = now
        status: dict[str, object] = {
            "progressPercentage": percent,
            "lastUpdatedTime": datetime.now(UTC).isoformat(),
            "metrics": [{"name": name, "value": str(value)} for name, value in metrics.items()],
        }
        if 0 < percent < 100:
            spent = now - self._started
            status["estimatedRemainingSeconds"] = int(spent * (100 - percent) / percent)
        self._post({"trainerStatus": status})

    def _post(self, document: dict[str, object]) -> None:
        if self._url is None or not self._url.startswith(("http://", "https://")):
            return
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Content-Type": "application/json",
        }
        trace_context.carry(headers)
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url, data=json.dumps(document).encode(), headers=headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
                pass
        except (OSError, urllib.error.URLError, ValueError) as error:
            _log.warning("progress_not_posted", error=str(error))

    def _token(self) -> str:
        if not self._token_path:
            return ""
        try:
            return Path(self._token_path).read_text().strip()
        except OSError:
            return ""
