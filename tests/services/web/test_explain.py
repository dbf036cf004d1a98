"""Which words mattered: exact by leaving one out, honest when time is up."""

from collections.abc import Sequence

from sentops_web.explain import explain
from sentops_web.model_client import ModelAnswer
from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeModel

MODEL = FakeModel()


class Clock:
    """Every question to the model takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0

    def __call__(self) -> float:
        return self.now

    async def ask(self, texts: Sequence[str]) -> list[ModelAnswer]:
        self.now += 1
        self.asked += len(texts)
        return [ModelAnswer.model_validate(MODEL.answer(text)) for text in texts]


async def test_the_word_that_decides_gets_the_whole_contribution() -> None:
    clock = Clock()
    found = await explain("a great chair", clock.ask, budget_seconds=10, clock=clock)
    assert found.answer.label == "positive"
    assert [round(word.contribution or 0, 2) for word in found.words] == [0, 0.68, 0]
    assert found.complete
    assert clock.asked == 4


async def test_words_keep_their_places_in_the_text() -> None:
    text = "  great,\n though  rotto "
    found = await explain(text, Clock().ask, budget_seconds=9, clock=Clock())
    assert [text[word.start : word.end] for word in found.words] == ["great,", "though", "rotto"]
    assert [word.text for word in found.words] == ["great,", "though", "rotto"]


async def test_a_single_word_is_compared_with_chance() -> None:
    found = await explain("great", Clock().ask, budget_seconds=9, clock=Clock())
    assert round(found.words[0].contribution or 0, 2) == 0.6


async def test_when_time_is_up_the_most_telling_passage_has_been_tried() -> None:
    clock = Clock()
    text = " ".join(["word"] * 150 + ["great"] + ["word"] * 49)
    found = await explain(text, clock.ask, budget_seconds=3, clock=clock)
    assert not found.complete
    assert found.asked == 16
    assert round(found.words[150].contribution or 0, 2) == 0.68
    assert found.words[199].contribution is None


async def test_the_api_explains_and_records_nothing(web: Web) -> None:
    answer = await web.client.post("/api/explain", json={"text": "it broke again"})
    body = answer.json()
    assert (body["label"], body["complete"], body["words_tried"]) == ("negative", True, 3)
    assert max(body["words"], key=lambda word: word["contribution"])["word"] == "broke"
    assert web.parts.spool.state().rows == 0


async def test_the_budget_is_a_setting(start_web: StartWeb, model: FakeModel) -> None:
    model.delay = 0.4  # twice that is over the budget, however slow the machine
    async with start_web(explain_budget_seconds=0.75) as web:
        body = (await web.client.post("/api/explain", json={"text": "so " * 39})).json()
    assert not body["complete"]
    assert body["words_tried"] == 16
