"""Names of children: any name a resource may have gives one that Kubernetes takes."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sentops_core.domain.base import ModelName, ResourceName
from sentops_operator.manifests.metadata import (
    LONGEST_JOB_NAME,
    deployment_name,
    image_version,
    job_name,
    rendezvous_name,
    shortened,
    work_claim_name,
)
from sentops_operator.manifests.pods import claims_in
from tests.support.builders import a_training_job

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
NAMES = some.from_regex(re.compile(ResourceName.__metadata__[0].pattern), fullmatch=True).filter(
    lambda name: len(name) <= 63
)
LONG = some.text("abc-9", min_size=50, max_size=63).map(lambda middle: f"x{middle}"[:62] + "y")
ATTEMPTS = some.integers(1, 999)


@given(NAMES | LONG, ATTEMPTS)
def test_every_name_of_a_child_is_one_that_kubernetes_takes(name: str, attempt: int) -> None:
    job = a_training_job(name)
    made = job_name(job, attempt)
    assert DNS_LABEL.fullmatch(made)
    assert len(made) <= LONGEST_JOB_NAME
    assert DNS_LABEL.fullmatch(f"{made}-63"), "the host name of the last of 64 nodes"
    assert DNS_LABEL.fullmatch(work_claim_name(job))
    assert SERVICE_NAME.fullmatch(rendezvous_name(job, attempt))


@given(NAMES | LONG, ATTEMPTS)
def test_a_name_can_be_computed_again(name: str, attempt: int) -> None:
    assert job_name(a_training_job(name), attempt) == job_name(a_training_job(name), attempt)
    assert job_name(a_training_job(name), attempt).endswith(f"-{attempt}")


@given(some.lists(some.tuples(NAMES | LONG, ATTEMPTS), min_size=2, max_size=8, unique=True))
def test_no_two_attempts_share_a_name(attempts: list[tuple[str, int]]) -> None:
    jobs = [(a_training_job(name), attempt) for name, attempt in attempts]
    assert len({job_name(*one) for one in jobs}) == len(jobs)
    assert len({work_claim_name(job) for job, _ in jobs}) == len({name for name, _ in attempts})


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = ["a" * 62 + end for end in "bcd"]
    made = {job_name(a_training_job(name), 1) for name in names}
    assert len(made) == 3
    assert all(len(name) == LONGEST_JOB_NAME for name in made)


def test_a_name_that_fits_is_left_as_it_is() -> None:
    assert job_name(a_training_job("reviews-it"), 2) == "reviews-it-2"
    assert work_claim_name(a_training_job("reviews-it")) == "reviews-it-work"


def test_a_cut_never_leaves_two_hyphens_before_the_hash() -> None:
    assert "--" not in shortened("a" * 46 + "-" * 10 + "b", "-1", limit=LONGEST_JOB_NAME)


@given(
    some.from_regex(re.compile(ModelName.__metadata__[0].pattern), fullmatch=True).filter(
        lambda name: len(name) <= 40
    )
)
def test_the_deployments_of_a_model_have_names_that_kubernetes_takes(model_name: str) -> None:
    champion, candidate = (deployment_name(model_name, slot) for slot in ("champion", "candidate"))
    assert champion != candidate
    assert DNS_LABEL.fullmatch(champion)
    assert DNS_LABEL.fullmatch(candidate)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("sentops-trainer:0.1.0", "0.1.0"),
        ("registry.example:5000/team/sentops-trainer:v2", "v2"),
        ("registry.example:5000/team/sentops-trainer", None),
        ("sentops-trainer:1.2@sha256:" + "a" * 64, "1.2"),
        ("sentops-trainer@sha256:" + "a" * 64, None),
        ("sentops-trainer:" + "a" * 64, None),
        ("sentops-trainer:1.2_", None),
    ],
)
def test_the_version_is_the_image_s_tag_if_it_can_be_a_label(
    image: str, version: str | None
) -> None:
    assert image_version(image).get("app.kubernetes.io/version") == version


def test_a_claim_is_mounted_once_however_many_addresses_lie_on_it() -> None:
    uris = ["pvc://models/a", "s3://bucket/b", "pvc://data/v7", "pvc://models/" + quote("c d")]
    assert claims_in(*uris) == ["data", "models"]
