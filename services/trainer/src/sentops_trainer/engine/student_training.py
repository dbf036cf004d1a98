"""Teaching a student: what the full model knows of tokens goes into its table, what it answers to many texts into it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
import torch
from torch import Tensor, nn

from sentops_trainer.engine.classifier import Classifier, TokenTable
from sentops_trainer.engine.encoding import Encoder, in_batches
from sentops_trainer.engine.student import ByteRows, Student
from sentops_trainer.engine.student_lessons import LONGEST_PHRASE, Frame, Ids, phrases, variations
from sentops_trainer.rows import Rows

TABLE_COLUMNS, ALONE_COLUMNS = 64, 32
# Multiply-adds of the full model for it all: under a minute on two cores.
_MOST_WORK = 2.2e12
_SHARE_ALONE = 0.25  # of the work, for tokens by themselves
_MOST_ALONE = 8_000
_MOST_VARIATIONS, _MOST_PHRASES = 1.5, 4  # per row
_EPOCHS, _BATCH, _RATE, _DECAY = 10, 64, 2e-3, 0.05
_SOFTENED = 1.5  # the temperature of what is learnt
_ROWS_AT_ONCE = 16_384
_UNSEEN = 0.3  # how far the guess for tokens that the full model was not asked about is shrunk
_log = structlog.get_logger()

Report = Callable[[str], None]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lessons:
    ids: list[Ids]
    logits: Logits


def train_student(
    classifier: Classifier, encoder: Encoder, rows: Rows, *, seed: int, report: Report
) -> Student:
    """A student of the classifier, from these rows alone."""
    classifier.eval()
    generator = np.random.default_rng(seed)
    ids = encoder.encode(rows.texts)
    frame = Frame.of(ids)
    report("asking the full model about single tokens")
    work = _work_per_token(classifier)
    table = _token_rows(classifier, encoder, ids, frame, _SHARE_ALONE * _MOST_WORK / work)
    report("asking the full model about variations and phrases")
    lessons = _lessons(
        classifier, encoder, ids, frame, (1 - _SHARE_ALONE) * _MOST_WORK / work, generator
    )
    torch.manual_seed(seed)
    student = Student(ByteRows(table), labels=lessons.logits.shape[1])
    _fit(student, encoder, lessons, generator, report)
    _log.info("student_taught", lessons=len(lessons.ids))
    return student


def _work_per_token(classifier: Classifier) -> int:
    """Multiply-adds: each weight of a matrix once."""
    return sum(
        module.weight.numel() for module in classifier.modules() if isinstance(module, nn.Linear)
    )


def _lessons(
    classifier: Classifier,
    encoder: Encoder,
    ids: list[Ids],
    frame: Frame,
    tokens: float,
    generator: np.random.Generator,
) -> Lessons:
    """The rows themselves, variations and phrases; fewer where the rows are many or the full model is large."""
    mean = sum(map(len, ids)) / len(ids)
    affordable = max(1, int(tokens / mean))
    if len(ids) > affordable:
        ids = [ids[number] for number in generator.permutation(len(ids))[:affordable]]
    left = max(0, affordable - len(ids)) / 2
    varied = int(min(left, _MOST_VARIATIONS * len(ids)))
    short = int(
        min(left * mean / len(frame.around([0] * LONGEST_PHRASE)), _MOST_PHRASES * len(ids))
    )
    ids = [
        *ids,
        *variations(ids, frame, varied, encoder.max_length, generator),
        *phrases(ids, frame, short, generator),
    ]
    return Lessons(ids, in_batches(encoder, ids, classifier, device=classifier.device))


def _token_rows(
    classifier: Classifier, encoder: Encoder, ids: list[Ids], frame: Frame, tokens: float
) -> Tensor:
    """What the student is told of each token: its row of the table, and what the full model makes of it alone.

    The full model is asked about the tokens of the rows, then about the first of the vocabulary, which are its most
    frequent; for the others a linear guess from the table stands in.
    """
    embeddings = classifier.encoder.get_input_embeddings()
    assert isinstance(embeddings, TokenTable)  # noqa: S101 - load_classifier put it there
    table = embeddings.weight.cpu()
    occurring = np.unique(np.concatenate([np.array(row) for row in ids]))
    first = np.setdiff1d(np.arange(len(table)), occurring)
    most = max(1, min(_MOST_ALONE, int(tokens / len(frame.around([0])))))
    asked = torch.as_tensor(np.concatenate([occurring, first])[:most])
    features = torch.as_tensor(
        in_batches(
            encoder,
            [frame.around([int(token)]) for token in asked],
            classifier.features,
            device=classifier.device,
        )
    )
    with torch.inference_mode():
        logits = classifier.head(features.to(classifier.device)).cpu()
    alone = torch.cat([_squeezed(features, ALONE_COLUMNS), _even(logits)], dim=1)
    guessed = _guess(table[asked].float(), alone, table)
    guessed[asked] = alone
    return torch.cat([_squeezed(table, TABLE_COLUMNS), guessed], dim=1)


def _squeezed(values: Tensor, columns: int) -> Tensor:
    """The principal components. In portions: a multilingual table is 400 MB as float32."""
    mean = torch.stack([part.sum(dim=0) for part in _portions(values)]).sum(dim=0) / len(values)
    spread = torch.zeros(len(mean), len(mean))
    for part in _portions(values):
        spread += (part - mean).T @ (part - mean)
    _, directions = torch.linalg.eigh(spread)
    kept = directions[:, -columns:]
    return _even(torch.cat([(part - mean) @ kept for part in _portions(values)]))


def _portions(values: Tensor) -> Iterator[Tensor]:
    return (part.float() for part in torch.split(values, _ROWS_AT_ONCE))


def _even(values: Tensor) -> Tensor:
    """Of mean 0, and of deviation 1 together."""
    centred = values - values.mean(dim=0)
    return centred / float(centred.std().clamp_min(1e-8))


def _guess(given: Tensor, wanted: Tensor, every: Tensor) -> Tensor:
    """Ridge regression of `wanted` on `given`, for every row."""
    mean = given.mean(dim=0)
    centred = given - mean
    spread = centred.T @ centred
    ridge = _UNSEEN * spread.diagonal().mean().clamp_min(1e-8) * torch.eye(len(spread))
    directions: Tensor = torch.linalg.solve(spread + ridge, centred.T @ wanted)
    return torch.cat([(part - mean) @ directions for part in _portions(every)])


def _fit(
    student: Student,
    encoder: Encoder,
    lessons: Lessons,
    generator: np.random.Generator,
    report: Report,
) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=_RATE, weight_decay=_DECAY)
    steps = _EPOCHS * math.ceil(len(lessons.ids) / _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=steps, pct_start=0.1
    )
    wanted = torch.softmax(torch.as_tensor(lessons.logits) / _SOFTENED, dim=1)
    student.train()
    for epoch in range(_EPOCHS):
        report(f"teaching a student, round {epoch + 1} of {_EPOCHS}")
        for batch in _by_length(lessons.ids, generator):
            input_ids, attention_mask = encoder.pad([lessons.ids[number] for number in batch])
            answered = torch.log_softmax(student(input_ids, attention_mask) / _SOFTENED, dim=1)
            loss = -(wanted[batch] * answered).sum(dim=1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    student.eval()


def _by_length(ids: list[Ids], generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Batches of like length, in another order and other company each time."""
    lengths = np.array([len(row) for row in ids])
    order = np.argsort(lengths + 4 * generator.random(len(ids)))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    generator.shuffle(batches)
    return batches
