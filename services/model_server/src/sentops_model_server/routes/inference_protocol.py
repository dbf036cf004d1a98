"""The Open Inference Protocol v2 (KServe, Triton, MLServer clients): texts in as BYTES, labels and scores out.

The name of the model is the configured one, its versions are the champion's. Of the optional parts, `parameters`
may only say what is so anyway (`content_type: str`); the binary tensor extension is refused, not ignored.
"""

# ruff: noqa: FAST003 - the dependency `known_model` takes the path's parameters

from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from sentops_core.domain.base import Body
from sentops_core.domain.errors import InvalidInput, NotFound, PlatformError
from sentops_core.inference import Scored
from sentops_model_server.answering import answer
from sentops_model_server.deps import Service, TheService
from sentops_model_server.routes.predict import Text, TimeoutMilliseconds, seconds
from sentops_model_server.slots import SlotName

INPUT = "text"
OUTPUTS = ("label", "score", "scores", "truncated", "path")


class Parameters(Body):
    content_type: Literal["str"] | None = None


class InputTensor(Body):
    name: Literal["text"]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2)]
    datatype: Literal["BYTES"]
    parameters: Parameters = Parameters()
    data: Annotated[list[Text | list[Text]], Field(min_length=1)]

    def texts(self) -> list[str]:
        """The texts, flat; the shape must be [n] or [n, 1] and agree with the data."""
        flat = [text for row in self.data for text in ([row] if isinstance(row, str) else row)]
        if self.shape not in ([len(flat)], [len(flat), 1]):
            raise InvalidInput(
                f"The shape {self.shape} does not fit the data: {len(flat)} texts have the shape [{len(flat)}]."
            )
        return flat


class RequestedOutput(Body):
    name: Literal["label", "score", "scores", "truncated", "path"]
    parameters: Parameters = Parameters()


class InferRequest(Body):
    id: str | None = None
    parameters: Parameters = Parameters()
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=1)]
    outputs: list[RequestedOutput] | None = None


class OutputTensor(Body):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferAnswer(Body):
    id: str | None = None
    model_name: str
    model_version: str
    outputs: list[OutputTensor]


class TensorFacts(Body):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Body):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class ServerMetadata(Body):
    name: str
    version: str
    extensions: list[str]


async def known_model(name: str, service: TheService, model_version: str | None = None) -> Service:
    """The service, once the address is known to name its model (and, when it says one, the served version)."""
    if name != service.model_name:
        raise NotFound(
            f"There is no model {name!r} here; this server serves {service.model_name!r}."
        )
    served = service.slots.status(SlotName.CHAMPION).model_version
    if model_version is not None and model_version != served:
        raise NotFound(f"Version {model_version!r} of {name!r} is not served here; {served!r} is.")
    return service


KnownModel = Annotated[Service, Depends(known_model)]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])


@router.get("", summary="Describe the server")
async def server_metadata() -> ServerMetadata:
    return ServerMetadata(
        name="sentops-model-server", version=version("sentops-model-server"), extensions=[]
    )


@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready", summary="The champion is loaded and verified", response_model=None)
async def ready(service: TheService) -> JSONResponse:
    return _readiness(service, "ready")


@router.get("/models/{name}", summary="Describe the model")
@router.get("/models/{name}/versions/{model_version}", summary="Describe a version of the model")
async def model_metadata(service: KnownModel) -> ModelMetadata:
    serving = service.slots.serving(SlotName.CHAMPION)
    labels = len(serving.model.scorer.config.labels)
    return ModelMetadata(
        name=service.model_name,
        versions=[serving.model_version],
        platform="onnxruntime_onnx",
        inputs=[TensorFacts(name=INPUT, datatype="BYTES", shape=[-1])],
        outputs=[
            TensorFacts(name="label", datatype="BYTES", shape=[-1]),
            TensorFacts(name="score", datatype="FP64", shape=[-1]),
            TensorFacts(name="scores", datatype="FP64", shape=[-1, labels]),
            TensorFacts(name="truncated", datatype="BOOL", shape=[-1]),
            TensorFacts(name="path", datatype="BYTES", shape=[-1]),
        ],
    )


@router.get("/models/{name}/ready", summary="The model can answer", response_model=None)
@router.get(
    "/models/{name}/versions/{model_version}/ready",
    summary="This version can answer",
    response_model=None,
)
async def model_ready(service: KnownModel) -> JSONResponse:
    return _readiness(service, "ready")


@router.post("/models/{name}/infer", summary="Infer", response_model_exclude_none=True)
@router.post(
    "/models/{name}/versions/{model_version}/infer",
    summary="Infer with a version",
    response_model_exclude_none=True,
)
async def infer(
    body: InferRequest,
    request: Request,
    service: KnownModel,
    x_request_timeout_ms: TimeoutMilliseconds = None,
) -> InferAnswer:
    try:
        texts = body.inputs[0].texts()
        within = seconds(x_request_timeout_ms)
        serving, answers = await answer(
            service, request.receive, SlotName.CHAMPION, texts, within=within
        )
    except PlatformError as error:
        error.details["error"] = str(error)  # where clients of this protocol look for the message
        raise
    labels = serving.model.scorer.config.labels
    wanted = OUTPUTS if body.outputs is None else [output.name for output in body.outputs]
    tensors = _tensors(answers, labels)
    return InferAnswer(
        id=body.id,
        model_name=service.model_name,
        model_version=serving.model_version,
        outputs=[tensors[name] for name in wanted],
    )


def _tensors(answers: list[Scored], labels: tuple[str, ...]) -> dict[str, OutputTensor]:
    count = len(answers)
    scores = [one.scores[label] for one in answers for label in labels]
    tensors = (
        OutputTensor(
            name="label", shape=[count], datatype="BYTES", data=[one.label for one in answers]
        ),
        OutputTensor(
            name="score", shape=[count], datatype="FP64", data=[one.score for one in answers]
        ),
        OutputTensor(name="scores", shape=[count, len(labels)], datatype="FP64", data=scores),
        OutputTensor(
            name="truncated",
            shape=[count],
            datatype="BOOL",
            data=[one.truncated for one in answers],
        ),
        OutputTensor(
            name="path", shape=[count], datatype="BYTES", data=[one.path for one in answers]
        ),
    )
    return {tensor.name: tensor for tensor in tensors}


def _readiness(service: Service, key: str) -> JSONResponse:
    is_ready = service.slots.status(SlotName.CHAMPION).digest is not None
    return JSONResponse({key: is_ready}, 200 if is_ready else 503)
