"""What counting costs the monitor: its first look at 10 k, 100 k and 1 M predictions with 5 % votes, and then at 1,000 more.

For each size a database of its own is filled with four weeks of answers, and the monitor's rounds run in a process of their
own, which imports the whole program, so that its memory is that of the program. The first fill counts everything; an
increment counts 1,000 new answers and 50 votes on them, and should take as long however much lies in the database.
Prints one JSON document, and on stderr what it does; exit code 1 if a limit is exceeded.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # for tests.support, when run as a file

from sentops_core.domain.reference import HeldOutAnswer, ReferenceText, profile_of
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.feedback import Feedback
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.version_references import VersionReferences
from tests.support.demo_site import only_warnings
from tests.support.postgres import a_free_port
from tests.support.rows import a_prediction, a_vote

SIZES = (10_000, 100_000, 1_000_000)
VOTES_PER_PREDICTION = 0.05
INCREMENT = 1_000
INCREMENT_VOTES = 50
RSS_LIMIT_MB = 300.0
WINDOWS_LIMIT_SECONDS = 5.0
RATIO_LIMIT = 2.0  # of the increments at the largest and the smallest size
_ROUNDS = Path(__file__).with_name("monitor_rounds.py")
WORDS = [f"word{number}" for number in range(4000)]

# Evenly over four weeks; the second version answers the last week. Common words are common.
_FILL = """
WITH counted AS (
    SELECT n, $2::timestamptz + ($3::timestamptz - $2::timestamptz) * (n::float8 / $1) AS at, md5(n::text) AS digits
      FROM generate_series($4::integer, $5::integer - 1) AS n
)
INSERT INTO predictions (id, created_at, client, text, text_hash, label, score, scores, language, truncated, variant,
                         model_version, digest)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3) || '8' ||
        substr(digits, 4, 15))::uuid,
       to_timestamp((extract(epoch FROM at) * 1000)::bigint / 1000.0), 'client-' || n % 5000,
       (SELECT string_agg(($6::text[])[1 + floor(power(random(), 3) * cardinality($6::text[]))::integer], ' ')
          FROM generate_series(1, 4 + n % 20)),
       sha256(digits::bytea), (ARRAY['negative', 'neutral', 'positive'])[1 + n % 3],
       1 - 0.6 * power(random(), 2), '{}', (ARRAY['it', 'en', NULL])[1 + n % 10 % 3], false, 'champion',
       CASE WHEN n < 0.75 * $1 THEN 'sentiment-v1' ELSE 'sentiment-v2' END, 'sha256:bench'
  FROM counted
"""
# A vote agrees as often as the answer was sure.
_VOTE = """
INSERT INTO feedback (prediction_id, client, label, vote_id, voted_at, predicted_at)
SELECT id, client, CASE WHEN random() < score THEN label ELSE 'neutral' END, gen_random_uuid(),
       created_at + interval '1 minute', created_at
  FROM predictions
 WHERE get_byte(text_hash, 0) < 256 * $1::float8
"""


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


async def fill(url: str, size: int) -> int:
    """The number of votes."""
    connection = await open_connection(url)
    await connection.execute("SET statement_timeout = 0")
    now = datetime.now(UTC)
    begin = now - timedelta(days=27, hours=23)
    for month in {begin.replace(day=1), now.replace(day=1)}:
        await connection.execute("SELECT ensure_predictions_month($1)", month)
    step = max(size // 10, 1)
    for first in range(0, size, step):
        last = min(first + step, size)
        await connection.execute(_FILL, size, begin, now, first, last, WORDS, timeout=900)
        say(f"  {last:,} of {size:,} predictions")
    done: str = await connection.execute(_VOTE, VOTES_PER_PREDICTION, timeout=900)
    await keep_references(connection)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    return int(done.rpartition(" ")[2])


async def keep_references(connection: Connection) -> None:
    """Both versions know their words, so that the unseen ones are looked up."""
    texts = [" ".join(WORDS[start : start + 20]) for start in range(0, 3000, 10)]
    profile = profile_of(
        [ReferenceText(text, "it") for text in texts],
        [HeldOutAnswer(text, "positive", 0.9) for text in texts],
    )
    for version in ("sentiment-v1", "sentiment-v2"):
        await VersionReferences(connection).keep(version, "sha256:bench", profile)


async def add(url: str, random: Random) -> None:
    """What a web program writes: one batch of answers, and some votes on them."""
    now = datetime.now(UTC)
    rows: list[PredictionRow] = [
        a_prediction(
            now - timedelta(milliseconds=random.randrange(60_000)),
            text=" ".join(random.choices(WORDS, k=12)),
            client=f"client-{random.randrange(5000)}",
            label=random.choice(("negative", "neutral", "positive")),
            score=1 - 0.6 * random.random() ** 2,
            model_version="sentiment-v2",
        )
        for _ in range(INCREMENT)
    ]
    connection = await open_connection(url)
    async with connection.transaction():
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).upsert_many(
            [a_vote(row, row.label, after=1) for row in rows[:INCREMENT_VOTES]]
        )
    await connection.close()


class Monitor:
    """The program's rounds in a process of their own."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_ROUNDS), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.idle_rss_mb: float = self._answer()["peak_rss_mb"]

    def ask(self, command: str = "round") -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the monitor's process ended; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)


@contextmanager
def monitor(url: str) -> Iterator[Monitor]:
    one = Monitor(url)
    try:
        yield one
    finally:
        one.stop()


def measure(url: str, size: int, times: int) -> dict[str, Any]:
    say(f"{size:,} predictions: filling the database")
    votes = asyncio.run(fill(url, size))
    random = Random(7)
    with monitor(url) as first:
        rounds = [first.ask()]
        while rounds[-1]["waiting"]:
            say(f"  counted; {rounds[-1]['waiting']:,} pieces of ten minutes are still waiting")
            rounds.append(first.ask())
        last = rounds[-1]
        if (last["answers"], last["votes"]) != (size, votes):
            raise RuntimeError(
                f"counted {last['answers']} and {last['votes']}, not {size} and {votes}"
            )
        still = [first.ask()["seconds"] for _ in range(times)]
        increments = []
        for _ in range(times):
            asyncio.run(add(url, random))
            increments.append(first.ask()["seconds"])
        after = first.ask()
        sources = first.ask("sources")["seconds"]
    with monitor(url) as second:
        again = second.ask()
    found = {
        "predictions": size,
        "votes": votes,
        "idle_rss_mb": round(second.idle_rss_mb, 1),
        "first_fill_seconds": round(sum(one["seconds"] for one in rounds), 2),
        "first_fill_rounds": len(rounds),
        "first_figures_after_seconds": round(rounds[0]["seconds"], 2),
        "first_fill_peak_rss_mb": round(last["peak_rss_mb"], 1),
        "windows_seconds": round(statistics.median(still), 3),
        "increment_seconds": round(statistics.median(increments), 3),
        "increments": [round(one, 3) for one in increments],
        "peak_rss_mb": round(after["peak_rss_mb"], 1),
        "largest_sources_seconds": round(sources, 3),
        "restart_seconds": round(again["seconds"], 2),
        "restart_peak_rss_mb": round(again["peak_rss_mb"], 1),
        "load_average": round(os.getloadavg()[0], 1),
    }
    say(f"  {json.dumps(found)}")
    return found


def report(sizes: list[int], times: int) -> dict[str, Any]:
    measured = []
    with tempfile.TemporaryDirectory(prefix="sentops-bench-") as folder:
        Path(folder).chmod(0o755)  # the server does not run as root
        for size in sizes:
            server = EmbeddedPostgres(
                Path(folder) / f"postgres-{size}",
                port=a_free_port(),
                password=uuid.uuid4().hex,
                database="postgres",
                settings={"fsync": "off"},
            )
            server.start()
            try:
                asyncio.run(migrate_url(server.url))
                measured.append(measure(server.url, size, times))
            finally:
                server.remove()
    ratio = measured[-1]["increment_seconds"] / measured[0]["increment_seconds"]
    peak = max(max(one["peak_rss_mb"], one["restart_peak_rss_mb"]) for one in measured)
    slowest = max(one["windows_seconds"] for one in measured)
    return {
        "increment": {"predictions": INCREMENT, "votes": INCREMENT_VOTES, "times": times},
        "sizes": measured,
        "increment_ratio_largest_to_smallest": round(ratio, 2),
        "peak_rss_mb": peak,
        "slowest_windows_seconds": slowest,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "limits": {
            "rss_mb": RSS_LIMIT_MB,
            "windows_seconds": WINDOWS_LIMIT_SECONDS,
            "increment_ratio": RATIO_LIMIT,
        },
        "passed": peak <= RSS_LIMIT_MB
        and slowest <= WINDOWS_LIMIT_SECONDS
        and ratio <= RATIO_LIMIT,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=lambda text: [int(one) for one in text.split(",")], default=list(SIZES)
    )
    parser.add_argument("--times", type=int, default=5, help="increments at each size")
    options = parser.parse_args()
    only_warnings()
    found = report(sorted(options.sizes), options.times)
    print(json.dumps(found, indent=2))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
