"""Runs in the cluster: asks web steadily until /tmp/stop appears; prints what came of it as one JSON line.

Standard library only; `python load.py URL`.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

EVERY_SECONDS = 0.2
TIMEOUT_SECONDS = 20
LONGEST_SECONDS = 900

_opener = build_opener(ProxyHandler({}))


def ask(url: str, number: int) -> str:
    """The version that answered; ValueError says what came instead."""
    body = json.dumps({"text": f"lovely product number {number}"}).encode()
    headers = {"content-type": "application/json", "x-client-id": f"load-client-{number % 7}"}
    request = Request(f"{url}/api/predict", data=body, headers=headers)
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return str(json.load(answer)["model_version"])
    except HTTPError as error:
        raise ValueError(f"{error.code} {error.read()[:300]!r}") from error
    except OSError as error:
        raise ValueError(repr(error)) from error


def main(url: str) -> None:
    began = time.monotonic()
    versions: Counter[str] = Counter()
    failures: list[str] = []
    number, due = 0, began
    while not Path("/tmp/stop").exists() and time.monotonic() - began < LONGEST_SECONDS:
        number += 1
        try:
            versions[ask(url, number)] += 1
        except ValueError as error:
            failures.append(f"{time.monotonic() - began:.1f} s: {error}")
        due = max(due + EVERY_SECONDS, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    summary = {
        "sent": number,
        "failed": len(failures),
        "failures": failures[:20],
        "versions": versions,
    }
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
