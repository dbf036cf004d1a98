"""What each alert means and what to do: where the mails of alerts lead."""

from fastapi import APIRouter
from fastapi.responses import Response

from sentops_backoffice.page import PageDep
from sentops_backoffice.runbook import runbook

router = APIRouter(tags=["pages"], include_in_schema=False)


@router.get("/runbook", summary="The runbook: an entry per alert")
async def get_runbook(page: PageDep) -> Response:
    return page.render("runbook.html", runbook=runbook())
