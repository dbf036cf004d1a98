"""What `helm test` runs: asks web for an answer as a client does, and votes on it. Exit code 0 only if all of it works."""

import json
import os
import sys
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

WEB_URL = os.environ["WEB_URL"].rstrip("/")
NAMESPACE = os.environ.get("NAMESPACE", "default")
PATIENCE_SECONDS = float(os.environ.get("PATIENCE_SECONDS", "60"))
CLIENT = "helm-test"
TEXT = "Ottimo prodotto, lo consiglio a tutti."

# The service is a neighbour: no proxy of the environment may come between.
_opener = build_opener(ProxyHandler({}))


def call(method: str, path: str, body: object = None) -> tuple[int, Any]:
    """(status, parsed JSON); a service that is away raises URLError."""
    request = Request(
        WEB_URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json", "x-client-id": CLIENT},
    )
    try:
        with _opener.open(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        content = error.read()
        try:
            return error.code, json.loads(content)
        except ValueError:
            return error.code, {"detail": content.decode(errors="replace")[:500]}


def fail(sentence: str) -> None:
    sys.exit(f"FAILED: {sentence}")


def wait_for_web() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            status, answer = call("GET", "/health/ready")
        except (URLError, OSError) as error:
            status, answer = 0, {"detail": str(error)}
        if status == 200:
            print(f"web is ready ({answer.get('status')})")
            return
        if time.monotonic() > deadline:
            fail(f"web is not ready at {WEB_URL}: {answer.get('detail')}")
        time.sleep(1)


def predict() -> dict[str, Any]:
    status, answer = call("POST", "/api/predict", {"text": TEXT})
    if status == 503 and answer.get("code") == "no_model":
        fail(
            "no model is live yet, so there is nothing to test. Train one, and test again when it is Live:\n"
            f"  kubectl -n {NAMESPACE} get trainingjobs,modelversions\n"
            f"  kubectl -n {NAMESPACE} wait modelversions --all --for=condition=Ready --timeout=30m"
        )
    if status != 200:
        fail(f"POST /api/predict answered {status}: {answer.get('detail')}")
    label, score, version = (answer.get(name) for name in ("label", "score", "model_version"))
    if not version:
        fail(f"the answer names no model version: {answer}")
    if label not in answer.get("scores", {}) or not 0 < score <= 1:
        fail(f"label and score make no sense: {answer}")
    print(f"{version} says {label} ({score:.2f}) of {TEXT!r}")
    return answer


def vote(prediction: dict[str, Any]) -> None:
    body = {
        "prediction_id": prediction["prediction_id"],
        "feedback": prediction["label"],
        "note": "helm test",
    }
    status, answer = call("POST", "/api/feedback", body)
    if status != 201:
        fail(f"POST /api/feedback answered {status}: {answer.get('detail')}")
    print("the vote on it was taken")


if __name__ == "__main__":
    wait_for_web()
    vote(predict())
    print("OK")
