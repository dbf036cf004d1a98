"""The trainer's routes for retraining policies, carried out on the same rows, without its loops: nothing is trained."""

from fastapi import FastAPI, Request, Response

from sentops_core.domain.resources import RetrainPolicySpec
from sentops_core.store.pool import open_connection
from sentops_trainer.local.resources import Resources

_ACTOR = "x-sentops-actor"


def add_policy_routes(app: FastAPI, database_url: str) -> None:
    @app.put("/retrain-policies/{name}")
    async def put(name: str, request: Request) -> dict[str, object]:
        body = await request.json()
        connection = await open_connection(database_url)
        try:
            async with connection.transaction():
                policy = await Resources(connection).put_policy(
                    name,
                    RetrainPolicySpec.model_validate(body["spec"]),
                    generation=body.get("metadata", {}).get("generation"),
                    actor=request.headers[_ACTOR],
                )
        finally:
            await connection.close()
        return policy.to_document()

    @app.delete("/retrain-policies/{name}", status_code=204)
    async def delete(name: str, request: Request) -> Response:
        connection = await open_connection(database_url)
        try:
            async with connection.transaction():
                await Resources(connection).delete_policy(name, actor=request.headers[_ACTOR])
        finally:
            await connection.close()
        return Response(status_code=204)
