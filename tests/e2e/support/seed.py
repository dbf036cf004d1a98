"""What a training needs, made inside the cluster: a tiny base model on the volume, a dataset by the back office."""

from pathlib import Path

from tests.e2e.support.kubectl import Manifest
from tests.e2e.support.platform import Platform
from tests.e2e.support.release import ARTIFACTS_CLAIM
from tests.e2e.support.waiting import until
from tests.support import tiny_base
from tests.support.reviews import some_reviews, to_csv

BASE = f"pvc://{ARTIFACTS_CLAIM}/e2e/tiny-base"
_CALL = """

if __name__ == "__main__":
    build_tiny_base(Path("/pvc/{claim}/e2e/tiny-base"))
"""


def seed_base(platform: Platform) -> None:
    """The same tiny BERT that the other tests train, written by the trainer's own torch."""
    source = Path(tiny_base.__file__).read_text() + _CALL.format(claim=ARTIFACTS_CLAIM)
    platform.scripts.run("seed-tiny-base", source)


def seed_dataset(platform: Platform) -> Manifest:
    """The `dataset` of a TrainingJob: a version that the back office made of an upload."""
    reviews = to_csv(some_reviews(300))

    def upload() -> Manifest:
        with platform.backoffice() as client:
            files = {"file": ("reviews.csv", reviews)}
            answer = client.post("/backoffice/api/datasets", files=files)
        assert answer.status_code in {200, 201}, f"{answer.status_code} {answer.text}"
        return dict(answer.json())

    made = until(upload, seconds=60, every=3)
    return {
        "storageUri": made["storage_uri"],
        "contentHash": made["content_hash"],
        "labels": list(made["labels"]),
    }
