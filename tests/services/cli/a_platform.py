"""A small real HTTP server that speaks the programs' contract, for commands to talk to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse

from sentops_core.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from sentops_core.domain.resources import (
    ArtifactRef,
    BaseModelRef,
    DatasetRef,
    Metadata,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionSpec,
    ModelVersionStatus,
    NameRef,
    Output,
    RetrainPolicy,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobSpec,
    TrainingJobStatus,
)
from sentops_core.http.errors import add_error_handlers
from sentops_trainer.routes.retrain_policies import RetrainPolicyManifest

TOKEN = "token-of-the-tests"
PREDICTION = "0" * 32 + "-" + "a" * 16
DIGEST = "sha256:" + "1" * 64


@dataclass
class Platform:
    """What the server knows and has been told. `script` are the states a new job goes through."""

    script: list[TrainingJobStatus] = field(default_factory=list)
    jobs: dict[str, list[TrainingJob]] = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    policies: dict[str, RetrainPolicy] = field(default_factory=dict)
    champion: str | None = None
    received: list[tuple[str, Any]] = field(default_factory=list)
    corrections: bool = True  # whether there are any new ones
    uploads: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    actors: set[str] = field(default_factory=set)
    url: str = ""

    def look(self, name: str) -> TrainingJob:
        """The job as it is now; each look brings it one state further."""
        if name not in self.jobs:
            raise NotFound(f"There is no training job {name!r}.")
        states = self.jobs[name]
        return states.pop(0) if len(states) > 1 else states[0]


def a_job(name: str, status: TrainingJobStatus) -> TrainingJob:
    return TrainingJob(
        metadata=Metadata(name=name),
        spec=TrainingJobSpec(
            model_name="sentiment",
            base_model=BaseModelRef(storage_uri="named://english-small"),
            dataset=DatasetRef(storage_uri="file:///d", content_hash=DIGEST),
            output=Output(storage_uri="file:///store"),
        ),
        status=status,
    )


def a_version(name: str, phase: ModelVersionPhase = ModelVersionPhase.LIVE) -> ModelVersion:
    return ModelVersion(
        metadata=Metadata(name=name),
        spec=ModelVersionSpec(
            model_name="sentiment",
            version=int(name.rsplit("-", 1)[-1]),
            artifact=ArtifactRef(storage_uri="file:///a", digest=DIGEST, size_bytes=1),
            training_job_ref=NameRef(name="first-linear"),
            dataset_hash=DIGEST,
        ),
        status=ModelVersionStatus(phase=phase, traffic_percent=100),
    )


def finished(phase: TrainingJobPhase, **fields: Any) -> TrainingJobStatus:
    return TrainingJobStatus(phase=phase, completion_time=datetime.now(UTC), **fields)


def build_app(platform: Platform) -> FastAPI:
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.middleware("http")
    async def tokens(request: Request, go_on: Any) -> Any:
        open_paths = ("/api/", "/routing", "/quality", "/health/")
        if not request.url.path.startswith(open_paths):
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                error = Unauthenticated("This token is not known here; it may have been replaced.")
                return JSONResponse({"detail": str(error), "code": error.code}, 401)
            platform.actors.add(request.headers.get("x-sentops-actor", ""))
        return await go_on(request)

    _add_web(app, platform)
    _add_trainer(app, platform)
    _add_policies(app, platform)
    _add_backoffice(app, platform)
    return app


def _add_web(app: FastAPI, platform: Platform) -> None:
    def answer(text: str) -> dict[str, Any]:
        return {
            "prediction_id": PREDICTION,
            "label": "positive" if "ottimo" in text else "negative",
            "score": 0.9,
            "scores": {"positive": 0.9, "negative": 0.1},
            "model_version": "sentiment-1",
            "language": "it",
            "truncated": False,
        }

    @app.post("/api/predict")
    async def predict(body: dict[str, str]) -> dict[str, Any]:
        if not body["text"].strip():
            raise InvalidInput("The text is empty; send at least one letter.")
        return answer(body["text"])

    @app.post("/api/predict/batch")
    async def batch(body: dict[str, list[str]]) -> dict[str, Any]:
        platform.received.append(("batch", len(body["texts"])))
        return {"predictions": [answer(text) for text in body["texts"]]}

    @app.post("/api/predict/csv")
    async def predict_csv(
        file: Annotated[UploadFile, File()], column: Annotated[str | None, Form()] = None
    ) -> PlainTextResponse:
        platform.received.append(("csv", column))
        content = (await file.read()).decode()
        return PlainTextResponse(content.replace("text\n", "text,label\n"), media_type="text/csv")

    @app.post("/api/feedback", status_code=201)
    async def feedback(body: dict[str, str]) -> dict[str, Any]:
        if body["prediction_id"] != PREDICTION:
            raise NotFound("No such prediction: use a prediction_id exactly as answered.")
        platform.received.append(("feedback", body))
        return body


def _add_trainer(app: FastAPI, platform: Platform) -> None:  # noqa: C901 - a list of routes
    @app.post("/train", status_code=202)
    async def train(body: dict[str, Any]) -> dict[str, str]:
        platform.received.append(("train", body))
        name = body.get("name") or "made-up"
        if name in platform.jobs:
            raise Conflict(f"There is a training job {name!r} already.")
        platform.jobs[name] = [a_job(name, status) for status in platform.script]
        return {"name": name, "status_url": f"/training-jobs/{name}"}

    @app.get("/training-jobs")
    async def jobs() -> list[Any]:
        return [platform.look(name).to_document() for name in platform.jobs]

    @app.get("/training-jobs/{name}")
    async def job(name: str) -> Any:
        return platform.look(name).to_document()

    @app.get("/training-jobs/{name}/log")
    async def log(name: str) -> PlainTextResponse:
        platform.look(name)
        return PlainTextResponse("one\ntwo\nthree\n")

    @app.get("/routing")
    async def routing() -> Any:
        champion = {
            "name": "champion",
            "url": "http://127.0.0.1:1",
            "modelVersion": platform.champion,
            "digest": DIGEST,
            "weight": 100,
        }
        return {"revision": 1, "variants": [champion] if platform.champion else []}

    @app.get("/model-versions")
    async def versions() -> list[Any]:
        return [version.to_document() for version in platform.versions.values()]

    @app.get("/model-versions/{name}")
    async def version(name: str) -> Any:
        if name not in platform.versions:
            raise NotFound(f"There is no model version {name!r}.")
        return platform.versions[name].to_document()

    @app.post("/model-versions/{name}/{action}", status_code=202)
    async def act(name: str, action: str, body: dict[str, Any]) -> Any:
        platform.received.append((action, (name, body)))
        if name not in platform.versions:
            raise NotFound(f"There is no model version {name!r}.")
        answers = "sentiment-1" if action == "rollback" else name
        return platform.versions[answers].to_document()


def _add_policies(app: FastAPI, platform: Platform) -> None:
    @app.get("/retrain-policies")
    async def policies() -> list[Any]:
        return [one.to_document() for one in platform.policies.values()]

    @app.get("/retrain-policies/{name}")
    async def policy(name: str) -> Any:
        return known(name).to_document()

    @app.put("/retrain-policies/{name}")
    async def put_policy(name: str, body: RetrainPolicyManifest) -> Any:
        """As the trainer takes it."""
        before = platform.policies.get(name)
        if before is None:
            metadata = Metadata(name=name)
            platform.policies[name] = RetrainPolicy(metadata=metadata, spec=body.spec)
        elif before.spec != body.spec:
            metadata = Metadata(name=name, generation=before.metadata.generation + 1)
            platform.policies[name] = RetrainPolicy(metadata=metadata, spec=body.spec)
        return platform.policies[name].to_document()

    @app.delete("/retrain-policies/{name}", status_code=204)
    async def delete_policy(name: str) -> None:
        known(name)
        del platform.policies[name]

    def known(name: str) -> RetrainPolicy:
        if name not in platform.policies:
            raise NotFound(f"There is no retraining policy {name}.")
        return platform.policies[name]


def a_dataset(version: str, name: str, parent: str | None = None) -> dict[str, Any]:
    return {
        "version": version,
        "name": name,
        "parent": parent,
        "labels": ["negative", "neutral", "positive"],
        "label_counts": {"positive": 5, "negative": 4},
        "rows_train": 7,
        "rows_holdout": 2,
        "erased_rows": 0,
        "content_hash": DIGEST,
        "description": "",
        "origin": "somewhere",
        "licence": "MIT",
        "created_by": "api",
        "created_at": "2026-01-02T03:04:05Z",
    }


def a_report(*messages: str) -> dict[str, Any]:
    first = [
        {"row": number, "row_id": "", "reason": "unknown_label", "message": message}
        for number, message in enumerate(messages, start=2)
    ]
    refused = {
        "count": len(first),
        "by_reason": {"unknown_label": len(first)} if first else {},
        "first": first,
    }
    return {
        "file": {"format": "csv", "rows": 9 + len(first), "kept": 9, "refused": refused},
        "rows_from_parent": 0,
        "added": 9,
        "relabelled": 0,
        "unchanged": 0,
        "left_out": {"count": 0, "by_reason": {}, "first": []},
    }


def _add_backoffice(app: FastAPI, platform: Platform) -> None:  # noqa: C901 - a list of routes
    def made(name: str, parent: str | None, created: bool) -> dict[str, Any]:
        version = f"v{len(platform.datasets) + 1}"
        platform.datasets.insert(0, a_dataset(version, name, parent))
        report = a_report("Label 'buono' is not known; map it.")
        return platform.datasets[0] | {"report": report, "created": created}

    @app.get("/backoffice/api/datasets")
    async def datasets() -> Any:
        return {"datasets": platform.datasets}

    @app.get("/backoffice/api/datasets/{version}")
    async def dataset(version: str) -> Any:
        for one in platform.datasets:
            if one["version"] == version:
                return one | {"report": a_report()}
        raise NotFound(f"There is no dataset version {version!r}.")

    @app.get("/backoffice/api/datasets/{version}/rows")
    async def rows(version: str, after: str, limit: int) -> Any:
        start = int(after or "0")
        numbers = list(range(start, min(start + limit, 1500)))
        found = [
            {"text": f"text {number}", "label": "neutral", "split": "train", "source": "upload:a"}
            | {"annotator": None, "language": "en", "content_hash": str(number)}
            for number in numbers
        ]
        return {"rows": found, "next": str(numbers[-1] + 1) if len(found) == limit else None}

    @app.post("/backoffice/api/datasets", status_code=201)
    async def upload(request: Request) -> Any:
        form = await request.form()
        file = form["file"]
        assert not isinstance(file, str)
        fields = {key: str(value) for key, value in form.items() if key != "file"}
        platform.uploads.append((str(file.filename), await file.read(), fields))
        return made(fields.get("name", "reviews"), fields.get("parent"), created=True)

    @app.post("/backoffice/api/datasets/from-feedback", status_code=201)
    async def from_feedback(body: dict[str, Any]) -> Any:
        platform.received.append(("from-feedback", body))
        return made("reviews", body.get("parent"), created=platform.corrections)

    @app.get("/quality")
    async def quality() -> Any:
        return {"taken_at": "2026-01-02T03:04:05Z", "versions": []}

    @app.get("/backoffice/api/lineage/{prediction_id}")
    async def lineage(prediction_id: str) -> Any:
        if prediction_id != PREDICTION:
            raise NotFound("There is no such prediction in the database.")
        return LINEAGE


LINEAGE: dict[str, Any] = {
    "prediction": {
        "id": "0" * 32,
        "text": "ottimo [bold]prodotto[/bold]",
        "label": "positive",
        "score": 0.93,
        "model_version": "sentiment-1",
        "path": "fast",
    },
    "votes": [{"label": "negative", "note": "ironico", "voted_at": "2026-01-02T03:04:05Z"}],
    "model_version": {"name": "sentiment-1", "digest": DIGEST, "phase": "Live"},
    "training_job": {
        "name": "first-linear",
        "phase": "Succeeded",
        "method": "Linear",
        "base_model": "named://multilingual-small",
        "created_by": "cli:ada",
    },
    "dataset_version": {
        "name": "v1",
        "dataset": "reviews-sample",
        "parent": None,
        "content_hash": DIGEST,
        "rows_train": 2900,
        "rows_holdout": 700,
        "erased_rows": 0,
        "origin": "PyPI sdist",
        "licence": "MIT",
    },
    "sources": [
        {"source": "upload:reviews-sample", "split": "train", "label": "positive", "rows": 9}
    ],
    "labelled_by_people": [
        {
            "text": "buono",
            "label": "positive",
            "split": "train",
            "source": "feedback",
            "annotator": "web-1",
        }
    ],
    "own_rows": [],
}


@contextmanager
def serving(platform: Platform) -> Iterator[Platform]:
    """The platform on a free port, in a thread."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(platform), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    platform.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    try:
        yield platform
    finally:
        server.should_exit = True
        thread.join()
