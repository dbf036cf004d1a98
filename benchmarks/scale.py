"""How cost grows with rows: what the programs ask of the database at 10,000 answers and at up to 10,000,000.

An embedded PostgreSQL with the settings users get holds two databases: one stays at the smallest size, the other grows.
At each size every operation is done on both in turn, several rounds long, so that a busy machine slows both alike. Its cost
is the CPU time of the server process; the growth is the median of the rounds' ratios. The data is made by SQL (see
support/growth.py): 10,000 answers in a month, ten times as many with each year.

Prints one JSON document, and on stderr what it does; exit code 1 if an operation grows by more than the limit.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.support.at_scale import Operation, Place, explained, named, place
from benchmarks.support.growth import bytes_by_table, grow, months_of
from benchmarks.support.machine import about_machine, allowed_cores, load_average, revision
from sentops_core.domain.errors import Unavailable
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import open_connection
from tests.support.demo_site import only_warnings
from tests.support.postgres import a_free_port

SIZES = (10_000, 100_000, 1_000_000)
GROWTH_LIMIT = 1.3
GB_PER_MILLION = 0.72
GB_BESIDES = 1.2  # write-ahead log, the small databases
# Rows may be lost while they are made: then nothing waits for a disk. Measured with what users get.
_FILLING = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "1GB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "30min",
}


_TIMES_UNTIL_KNOWN = 7
_LONG_ENOUGH = 5.0  # seconds


@dataclass
class Samples:
    """Of one operation: what each round took, in microseconds of the server's CPU and of the clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass
class State:
    """What lies in a folder between two runs."""

    folder: Path
    password: str = field(default_factory=lambda: uuid.uuid4().hex)
    filled: int = 0

    @classmethod
    def of(cls, folder: Path) -> "State":
        with suppress(FileNotFoundError):
            return cls(folder, **json.loads((folder / "state.json").read_text()))
        return cls(folder)

    def keep(self) -> None:
        kept = self.folder / "state.json"
        kept.touch(mode=0o600)
        kept.write_text(json.dumps({"password": self.password, "filled": self.filled}))


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


@contextmanager
def server(state: State, settings: dict[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Stopped at the end; its data stays."""
    one = EmbeddedPostgres(
        state.folder / "postgres",
        port=a_free_port(),
        password=state.password,
        database="grown",
        settings=settings,
    )
    one.start()
    try:
        yield one
    finally:
        one.stop()


async def fill(one: EmbeddedPostgres, state: State, size: int, now: datetime) -> None:
    await one.create_database()
    await migrate_url(one.url)
    connection = await open_connection(one.url)
    try:
        await grow(connection, state.filled, size, now=now, say=say)
    finally:
        await connection.close()
    if state.filled == 0:  # the smallest stays as it is, to be compared with
        await administer(one, "CREATE DATABASE smallest TEMPLATE grown")
    state.filled = size
    state.keep()


async def administer(one: EmbeddedPostgres, *statements: str) -> None:
    connection = await open_connection(one.url_of("postgres"))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def places(one: EmbeddedPostgres, now: datetime) -> AsyncIterator[dict[str, Place]]:
    """The smallest size, as it was filled, and the one that grew."""
    await migrate_url(one.url)
    await administer(
        one, "DROP DATABASE IF EXISTS small", "CREATE DATABASE small TEMPLATE smallest"
    )
    await migrate_url(one.url_of("small"))
    async with place(one.url_of("small"), now) as small, place(one.url, now) as grown:
        for name, at in (("small", small), ("grown", grown)):
            say(f"  the monitor counts what is due ({name})")
            while (await at.monitor.take(at.pool)).waiting:
                pass
        yield {"small": small, "grown": grown}


async def measure(
    one: EmbeddedPostgres, operations: list[Operation], rounds: int, now: datetime, *, explain: bool
) -> dict[str, Any]:
    samples: dict[tuple[str, str], Samples] = defaultdict(Samples)
    plans: dict[str, list[str]] = {}
    async with places(one, now) as both:
        for number in range(rounds + 1):
            say(f"  round {number} of {rounds}" + (", to warm up" if number == 0 else ""))
            for operation in operations:
                order = ("small", "grown") if number % 2 else ("grown", "small")
                for name in order:
                    cpu, wall = await sample(both[name], operation)
                    if number:
                        samples[operation.name, name].cpu.append(cpu)
                        samples[operation.name, name].wall.append(wall)
        measured = {
            operation.name: figures(
                operation, samples[operation.name, "small"], samples[operation.name, "grown"]
            )
            for operation in operations
        }
        if explain:
            slow = [each for each in operations if measured[each.name]["growth"] > GROWTH_LIMIT]
            plans = {each.name: await plans_of(both["grown"], one.url, each) for each in slow}
        async with both["grown"].pool.acquire() as connection:
            tables = await bytes_by_table(connection)
    return {"operations": measured, "tables": tables, "plans": plans}


async def sample(at: Place, operation: Operation) -> tuple[float, float]:
    """CPU of the server process and time of the clock for one unit, in microseconds."""
    if operation.before is not None:
        await operation.before(at)
    async with at.pool.acquire() as connection:
        process = connection.get_server_pid()
    cpu, begun = cpu_of(process), time.perf_counter()
    done = 0
    try:
        while done < operation.repeat:
            await operation.work(at)
            done += 1
    except (asyncpg.QueryCanceledError, Unavailable):
        say(f"  {operation.name}: given up by the server after its time limit")
    units = max(done, 1) * operation.per(at)
    wall = time.perf_counter() - begun
    return 1e6 * (cpu_of(process) - cpu) / units, 1e6 * wall / units


def cpu_of(process: int) -> float:
    """Seconds; /proc/<pid>/stat knows hundredths only."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def figures(operation: Operation, small: Samples, grown: Samples) -> dict[str, Any]:
    ratios = [after / before for before, after in zip(small.cpu, grown.cpu, strict=True)]
    return {
        "per": operation.unit,
        "growth": round(statistics.median(ratios), 2),
        "growth_from_to": [round(min(ratios), 2), round(max(ratios), 2)],
        "growth_of_time": round(statistics.median(grown.wall) / statistics.median(small.wall), 2),
        "cpu_us": _spread(grown.cpu),
        "cpu_us_smallest": _spread(small.cpu),
        "time_us": _spread(grown.wall),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
    }


async def plans_of(at: Place, url: str, operation: Operation) -> list[str]:
    """The plans of the statements that it ran the last time."""
    begun = time.monotonic()
    async with explained(at, url) as plans:
        # From the sixth time on the server may take a plan for any value; what is slow is not done so often.
        for number in range(_TIMES_UNTIL_KNOWN):
            if number and time.monotonic() - begun > _LONG_ENOUGH:
                break
            if operation.before is not None:
                await operation.before(at)
            plans.clear()
            with suppress(asyncpg.QueryCanceledError, Unavailable):
                await operation.work(at)
    return plans


def report(options: argparse.Namespace, state: State) -> dict[str, Any]:
    measured = []
    operations = list(named(options.only))
    now = datetime.now(UTC)
    for size in options.sizes:
        begun, before = time.monotonic(), state.filled
        if size > before:
            say(f"{size:,} answers: making {size - before:,} of {months_of(size)} months")
            with server(state, _FILLING) as one:
                asyncio.run(fill(one, state, size, now))
        elif size < before:
            say(f"{size:,} answers: the folder holds {before:,} already")
            continue
        filled = time.monotonic() - begun
        if size == min(options.sizes) and len(options.sizes) > 1:
            continue  # compared with itself it says nothing
        say(f"{size:,} answers: measuring")
        with server(state) as one:
            found = asyncio.run(
                measure(one, operations, options.rounds, now, explain=options.explain)
            )
        of_answers = found["tables"].get("predictions", {}).get("bytes", 0)
        measured.append(
            {
                "answers": size,
                "months": months_of(size),
                "rows_made": max(0, size - before),
                "seconds_to_make": round(filled, 1),
                "bytes_per_answer": round(of_answers / size),
                "seconds": round(time.monotonic() - begun, 1),
                "load_average": load_average(),
                **found,
            }
        )
    return summary(measured, options)


def summary(measured: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    largest = measured[-1]
    targets = [
        {
            "name": f"{name}: CPU at {largest['answers']:,} over {min(options.sizes):,} answers",
            "target": GROWTH_LIMIT,
            "value": one["growth"],
            "met": one["growth"] <= GROWTH_LIMIT,
        }
        for name, one in largest["operations"].items()
    ]
    return {
        "targets": targets,
        "sizes": measured,
        "rounds": options.rounds,
        "postgresql": "embedded, with the settings that users get",
        "machine": about_machine(allowed_cores()),
        "revision": revision(),
        "load_average": load_average(),
        "passed": all(one["met"] for one in targets),
    }


def needed_gb(sizes: list[int], state: State) -> float:
    return GB_BESIDES + GB_PER_MILLION * max(0, max(sizes) - state.filled) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(float(one)) for one in text.split(",")],
        default=list(SIZES),
        help="answers, say 1e4,1e7; the first is what the others are compared with",
    )
    parser.add_argument("--rounds", type=int, default=5, help="at each size")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORDS", help="operations with these words"
    )
    parser.add_argument("--explain", action="store_true", help="plans of what grows, in the JSON")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="keep the data there for another run"
    )
    options = parser.parse_args()
    options.sizes.sort()
    if options.rounds < 1 or options.sizes[0] < 10_000:
        parser.error("--rounds is at least 1, and the smallest of --sizes 10000")
    if len(options.sizes) < 2:
        parser.error("--sizes needs two or more")
    if not Path("/proc/self/schedstat").exists():
        parser.error("the CPU time of a process can only be read on Linux")
    only_warnings()
    with tempfile.TemporaryDirectory(prefix="sentops-bench-") as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # the server does not run as root
        state = State.of(folder)
        needed, free = needed_gb(options.sizes, state), shutil.disk_usage(folder).free / 1e9
        say(f"{needed:.1f} GB of disk needed below {folder}, {free:.1f} GB are free")
        if needed > free:
            parser.error(
                f"{folder} has not enough room: choose smaller --sizes, another --data folder, or set TMPDIR"
            )
        found = report(options, state)
    print(json.dumps(found, indent=2))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
