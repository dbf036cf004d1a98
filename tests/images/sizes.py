"""`make image-sizes`: what each image adds to its base, in MB, as JSON. Standard library only, so any Python runs it."""

import json
import subprocess
import sys

PROGRAMS = ("web", "backoffice", "model", "trainer", "monitor", "operator")
IMAGES = (*PROGRAMS, "cli", "mlflow")
# What issue 4 aims at, in MB above the base.
AIMS = {"model": 350, "operator": 150}
_BASE_LABEL = "org.opencontainers.image.base.name"


def layers(image: str) -> list[int]:
    """The size of each layer in bytes, the newest first; SystemExit with a sentence when it cannot be told."""
    command = ["docker", "history", "--human=false", "--format", "{{.Size}}", image]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.exit(f"{image} cannot be looked at ({answer.stderr.strip()}): `make images` builds it.")
    return [int(size) for size in answer.stdout.split()]


def base_of(image: str) -> str:
    """The name of the image it was built from, by its label."""
    template = f'{{{{index .Config.Labels "{_BASE_LABEL}"}}}}'
    command = ["docker", "image", "inspect", "--format", template, image]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def above_base(image: str) -> float:
    """What the image adds to its base, in MB of 1,000,000 bytes."""
    whole, base = layers(image), layers(base_of(image))
    return round(sum(whole[: len(whole) - len(base)]) / 1e6, 1)


def main(prefix: str, tag: str) -> None:
    sizes = {program: above_base(f"{prefix}sentops-{program}:{tag}") for program in IMAGES}
    print(json.dumps({"unit": "MB above the base", "sizes": sizes, "aims": AIMS}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
