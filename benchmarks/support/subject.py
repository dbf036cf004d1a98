"""Which model is asked what: alike in all benches of answering, so that their figures are of the same answers."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.support.texts import Row, made_up_reviews, sample_rows, texts_of
from benchmarks.support.trained import ModelUnderTest, Recipe, named, trained
from sentops_trainer.base_models import cache_folder

_BASE = "named://english-small"
_TRAINED_ROWS = 2400
_HELD_OUT_ROWS = 600
_HYPERPARAMETERS = {"epochs": 3, "max_length": 128, "seed": 1}


@dataclass(frozen=True)
class Subject:
    """`origin` says in words where the texts are from."""

    model: ModelUnderTest
    texts: list[str]
    origin: str


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=Path, help="a CSV with a column 'text', or lines")
    parser.add_argument("--count", type=int, default=300, help="of different texts, at most")
    parser.add_argument("--artifact", metavar="URI", help="ask this one instead")
    parser.add_argument("--digest", help="of the artefact; else what its manifest says")


def subject(
    options: argparse.Namespace, *, weights: Path | None = None, train_again: bool = False
) -> Subject:
    """What the options name; otherwise the kept model, trained now where there is none, and reviews it has not seen."""
    needs_rows = not (options.artifact and options.texts)
    rows = sample_rows(cache_folder() / "benchmarks") if needs_rows else []
    if options.artifact:
        model = named(options.artifact, options.digest, weights, cache_folder())
    else:
        recipe = _recipe(rows)
        print(
            f"the model: {_BASE} on {_TRAINED_ROWS} rows, kept as benchmarks/{recipe.key} in the cache",
            file=sys.stderr,
            flush=True,
        )
        model = trained(recipe, cache_folder(), anew=train_again)
    return Subject(model, *_texts(options, rows))


def _recipe(rows: list[Row]) -> Recipe:
    if not rows:
        raise SystemExit(
            "The sample data to train on cannot be had from the package index; name a trained model with "
            "--artifact."
        )
    end = _TRAINED_ROWS + _HELD_OUT_ROWS
    return Recipe(
        _BASE,
        "FineTune",
        _HYPERPARAMETERS,
        train=rows[_HELD_OUT_ROWS:end],
        holdout=rows[:_HELD_OUT_ROWS],
    )


def _texts(options: argparse.Namespace, rows: list[Row]) -> tuple[list[str], str]:
    if options.texts:
        return texts_of(options.texts)[: options.count], options.texts.name
    unseen = [text for text, _ in rows[_TRAINED_ROWS + _HELD_OUT_ROWS :]]
    if unseen:
        return unseen[: options.count], "review snippets of the sample data"
    return made_up_reviews(options.count), "made up"
