"""The process that benchmarks/monitor.py measures: the monitor's program without its clock.

`python benchmarks/monitor_rounds.py DATABASE_URL`: takes a round for each line "round" on its standard input and tells of
it in one line of JSON; "sources" does only what is done every few minutes. It imports what the program imports, and
nothing else, so that its memory is the program's.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sentops_monitor.__main__  # noqa: F401 - all that the program loads
from sentops_core.domain.quality_figures import WINDOWS
from sentops_core.store.pool import Pool, open_pool
from sentops_core.store.vote_sources import largest_source_shares
from sentops_monitor.history import begin_of
from sentops_monitor.round import Round


async def serve(url: str) -> None:
    pool = await open_pool(url, min_size=0, max_size=2, application_name="monitor")
    rounds = Round()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print(json.dumps({"peak_rss_mb": peak_rss_mb()}), flush=True)
    while command := (await reader.readline()).decode().strip():
        begun = time.perf_counter()
        found = await (look_at_sources(pool) if command == "sources" else take(rounds, pool))
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "peak_rss_mb": peak_rss_mb(), **found}), flush=True)
    await pool.close()


async def take(rounds: Round, pool: Pool) -> dict[str, Any]:
    figures = await rounds.take(pool)
    whole = [one for one in figures.qualities if (one.window, one.language) == ("28d", "all")]
    return {
        "waiting": figures.waiting,
        "answers": sum(one.answers for one in whole),
        "votes": sum(one.votes for one in whole),
    }


async def look_at_sources(pool: Pool) -> dict[str, Any]:
    now = datetime.now(UTC)
    async with pool.acquire() as connection:
        await largest_source_shares(connection, {one: begin_of(one, now) for one in WINDOWS})
    return {}


def peak_rss_mb() -> float:
    """Of this program alone: what getrusage says is at least what the parent had when it forked."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
