"""Votes: whose, on what, and what is refused."""

import pytest

from tests.services.web.conftest import StartWeb, Web


async def vote(web: Web, prediction_id: object, label: str, **more: object) -> object:
    body = {"prediction_id": prediction_id, "feedback": label} | more
    return await web.client.post("/api/feedback", json=body)


async def test_a_vote_is_recorded_and_a_second_one_replaces_it(web: Web) -> None:
    answer = await web.predict("ottimo prodotto")
    first = await vote(web, answer["prediction_id"], "negative", note=" it was irony ")
    second = await vote(web, answer["prediction_id"], "neutral")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["note"] == "it was irony"
    kept = await web.client.get(f"/api/predictions/{answer['prediction_id']}")
    assert kept.json()["vote"]["label"] == "neutral"
    assert kept.json()["vote"]["note"] is None


async def test_a_forged_a_foreign_and_an_odd_id_are_not_found(web: Web) -> None:
    real = str((await web.predict("great"))["prediction_id"])
    flipped = real[:-1] + ("0" if real[-1] != "0" else "1")
    other_row = "0" * 32 + real[32:]
    for forged in (flipped, other_row, "", "x", real.upper(), f"{real} ", "'; DROP TABLE feedback"):
        answer = await vote(web, forged, "positive")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), forged
        assert "prediction_id" in answer.json()["detail"]


async def test_an_id_signed_by_another_installation_is_not_found(
    start_web: StartWeb, tmp_path
) -> None:
    async with start_web(signing_key="o" * 32, spool_dir=tmp_path / "other") as other:
        foreign = (await other.predict("great"))["prediction_id"]
    async with start_web() as web:
        assert (await vote(web, foreign, "positive")).status_code == 404


@pytest.mark.parametrize("label", ["", "POSITIVE", "like", "<script>alert(1)</script>"])
async def test_a_label_the_model_does_not_know_is_refused_with_those_it_does(
    web: Web, label: str
) -> None:
    answer = await vote(web, (await web.predict("great"))["prediction_id"], label)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_label")
    assert answer.json()["labels"] == ["negative", "neutral", "positive"]


async def test_a_long_note_is_refused(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    assert (await vote(web, prediction, "positive", note="n" * 500)).status_code == 201
    refused = await vote(web, prediction, "positive", note="n" * 501)
    assert (refused.status_code, refused.json()["code"]) == (422, "note_too_long")


async def test_an_unknown_field_is_refused(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    assert (await vote(web, prediction, "positive", lable="x")).status_code == 422


async def test_votes_are_counted_by_whether_they_agree(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    await vote(web, prediction, "positive")
    await vote(web, prediction, "negative")
    assert web.value("sentops_web_votes_total", agreement="agrees") == 1
    assert web.value("sentops_web_votes_total", agreement="disagrees") == 1


async def test_each_client_has_one_vote_and_sees_its_own(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    await vote(web, prediction, "negative")
    stranger = {"x-client-id": "somebody-else"}
    seen = (await web.client.get(f"/api/predictions/{prediction}", headers=stranger)).json()
    assert seen["vote"] is None
    assert seen["text"] is None
    assert seen["label"] == "positive"


async def test_votes_are_limited_apart_from_texts(start_web: StartWeb) -> None:
    async with start_web(burst_votes=2, votes_per_second=0.01) as web:
        prediction = (await web.predict("great"))["prediction_id"]
        codes = [(await vote(web, prediction, "positive")).status_code for _ in range(3)]
        await web.predict("great")
    assert codes == [201, 201, 429]


async def test_a_vote_can_be_taken_back_and_given_again(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    await vote(web, prediction, "negative", note="a secret note")
    stranger = await web.client.delete(
        f"/api/feedback/{prediction}", headers={"x-client-id": "somebody-else"}
    )
    assert stranger.status_code == 200, "their own vote, which there is none of"
    assert await vote_on(web, prediction) == "negative"
    for _ in range(2):
        taken = await web.client.delete(f"/api/feedback/{prediction}")
        assert (taken.status_code, taken.json()["prediction_id"]) == (200, prediction)
    assert await vote_on(web, prediction) is None
    await vote(web, prediction, "neutral")
    assert await vote_on(web, prediction) == "neutral"


async def vote_on(web: Web, prediction: object) -> str | None:
    found = (await web.client.get(f"/api/predictions/{prediction}")).json()
    history = (await web.client.get("/api/history")).json()["predictions"][0]
    assert history["vote"] == found["vote"]
    return found["vote"] and found["vote"]["label"]


async def test_taking_back_is_for_known_ids_and_limited_as_votes_are(start_web: StartWeb) -> None:
    async with start_web(burst_votes=2, votes_per_second=0.01) as web:
        prediction = (await web.predict("great"))["prediction_id"]
        assert (await web.client.delete("/api/feedback/forged")).status_code == 404
        codes = [
            (await web.client.delete(f"/api/feedback/{prediction}")).status_code for _ in range(3)
        ]
    assert codes == [200, 200, 429]


async def test_another_sites_page_cannot_take_a_vote_back(web: Web) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    headers = {"origin": "https://evil.example"}
    for answer in (
        await web.client.delete(f"/api/feedback/{prediction}", headers=headers),
        await web.client.post("/withdraw", data={"prediction_id": prediction}, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
