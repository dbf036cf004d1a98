"""Retraining: the policies, one with its decisions, making and changing it, deleting it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.form_reading import Mistake
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import delete_policy, put_policy
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.policies import (
    PolicyAction,
    PolicyLine,
    change_policy,
    policy_line,
    policy_lines,
    policy_page,
)
from sentops_backoffice.policy_form import SUGGESTED, fields_of, read_policy_form
from sentops_core.domain.base import ResourceName
from sentops_core.domain.errors import InvalidInput, PlatformError
from sentops_core.domain.resources import RetrainPolicySpec
from sentops_core.http.errors import status_of
from sentops_core.store.tokens import Role

router = APIRouter(tags=["pages"], include_in_schema=False)

_CURRENT = "retraining"
_LIST = "/backoffice/retraining"


@router.get("/retraining", summary="Retraining policies")
async def get_policies(page: PageDep, parts: PartsDep) -> Response:
    return page.render("retraining.html", current=_CURRENT, lines=await policy_lines(parts))


@router.get("/retrain", summary="The form of a new policy")
@needs(Role.ADMIN)
async def get_new(page: PageDep) -> Response:
    return _form(page, SUGGESTED)


@router.post("/retrain", summary="Make a policy")
async def post_new(request: Request, page: PageDep, actor: ActorDep, parts: PartsDep) -> Response:
    fields = text_fields(await read_form(request))
    filled = read_policy_form(fields, model_name=parts.settings.model_name)
    name, mistakes = fields.get("name", "").strip(), filled.mistakes
    if "name" not in mistakes and any(
        line.policy.metadata.name == name for line in await policy_lines(parts)
    ):
        mistakes["name"] = Mistake("taken", {"name": name})
    if mistakes:
        return _form(page, fields, mistakes=mistakes)
    try:
        spec = _valid(filled.body)
        await put_policy(parts, name, spec, generation=0, actor=actor.name)
    except PlatformError as error:
        return _form(page, fields, refused=error)
    return page.see(f"{_LIST}/{name}", "retraining.made")


@router.get("/retraining/{name}", summary="One policy: what it decided, and what came of it")
async def get_policy(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    shown = await policy_page(parts, name)
    return page.render("retraining_policy.html", current=_CURRENT, shown=shown)


@router.get("/retraining/{name}/edit", summary="The form of a policy")
@needs(Role.ADMIN)
async def get_edit(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    line = await policy_line(parts, name)
    return _form(page, fields_of(line.policy.spec), line=line)


@router.post("/retraining/{name}/edit", summary="Change a policy")
async def post_edit(
    name: ResourceName, request: Request, page: PageDep, actor: ActorDep, parts: PartsDep
) -> Response:
    fields = text_fields(await read_form(request))
    line = await policy_line(parts, name)
    filled = read_policy_form(fields, model_name=parts.settings.model_name, before=line.policy.spec)
    if filled.mistakes:
        return _form(page, fields, line=line, mistakes=filled.mistakes)
    seen = fields.get("generation", "")
    try:
        generation = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
        spec = _valid(filled.body)
        await put_policy(parts, name, spec, generation=generation, actor=actor.name)
    except PlatformError as error:
        return _form(page, fields, line=line, refused=error)
    return page.see(f"{_LIST}/{name}", "retraining.changed")


@router.get("/retraining/{name}/delete", summary="What deleting a policy will do")
@needs(Role.ADMIN)
async def get_delete(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    return _confirm(page, await policy_line(parts, name), "delete")


@router.post("/retraining/{name}/delete", summary="Delete a policy")
async def post_delete(
    name: ResourceName, page: PageDep, actor: ActorDep, parts: PartsDep
) -> Response:
    try:
        await delete_policy(parts, name, actor=actor.name)
    except PlatformError as error:
        return _confirm(page, await policy_line(parts, name), "delete", refused=error)
    return page.see(_LIST, "retraining.deleted")


@router.get(
    "/retraining/{name}/go-live", summary="What it means that a policy starts trainings by itself"
)
@needs(Role.ADMIN)
async def get_go_live(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    return _confirm(page, await policy_line(parts, name), PolicyAction.GO_LIVE)


@router.post(
    "/retraining/{name}/{action}", summary="Suspend a policy, let it go on, let it start trainings"
)
async def post_action(
    name: ResourceName, action: PolicyAction, page: PageDep, actor: ActorDep, parts: PartsDep
) -> Response:
    try:
        await change_policy(parts, name, action, actor=actor.name)
    except PlatformError as error:
        return _confirm(page, await policy_line(parts, name), action, refused=error)
    return page.see(f"{_LIST}/{name}", f"retraining.{action}")


def _valid(body: dict[str, object]) -> RetrainPolicySpec:
    """What the form cannot tell by a field; the trainer would say the same."""
    try:
        return RetrainPolicySpec.model_validate(body)
    except ValidationError as error:
        why = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInput(why.removeprefix("Value error, ")) from error


def _form(
    page: Page,
    fields: dict[str, str],
    *,
    line: PolicyLine | None = None,
    mistakes: dict[str, Mistake] | None = None,
    refused: PlatformError | None = None,
) -> Response:
    status = 422 if mistakes else 200
    return page.render(
        "retraining_form.html",
        status=status_of(refused) if refused else status,
        current=_CURRENT,
        line=line,
        fields=fields,
        mistakes={
            name: one.in_words(page.words, _CURRENT) for name, one in (mistakes or {}).items()
        },
        refused=refused,
    )


def _confirm(
    page: Page, line: PolicyLine, action: str, *, refused: PlatformError | None = None
) -> Response:
    return page.render(
        "retraining_confirm.html",
        status=status_of(refused) if refused else 200,
        current=_CURRENT,
        line=line,
        action=action,
        refused=refused,
    )
