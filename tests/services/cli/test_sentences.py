"""What the command says when a service refuses."""

import httpx

from sentops_cli.services import sentence_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_defect_of_a_service_is_told_with_its_trace_and_a_refusal_without() -> None:
    problem = {"detail": "Something broke on our side.", "trace_id": TRACE}
    assert TRACE in sentence_of(httpx.Response(500, json=problem), "web")
    assert TRACE not in sentence_of(httpx.Response(503, json=problem), "web")
    assert TRACE not in sentence_of(httpx.Response(422, json=problem), "web")


def test_an_answer_that_is_no_problem_document_is_told_by_its_status() -> None:
    said = sentence_of(httpx.Response(502, text="<html>"), "web")
    assert said == "web answered 502 Bad Gateway and did not say why."
