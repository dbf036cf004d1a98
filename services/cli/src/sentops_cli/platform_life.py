"""`sentops up` from the lock to the last process: brings the platform up, keeps it, takes it down."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import structlog

from sentops_cli.addresses import local_addresses
from sentops_cli.database import NAME as POSTGRES
from sentops_cli.database import Database, awaits_first_admin, embedded
from sentops_cli.first_run import Listener, first_run
from sentops_cli.home import Home
from sentops_cli.leftovers import end_leftovers
from sentops_cli.lock import only_supervisor
from sentops_cli.outcome import CommandError
from sentops_cli.ports import Ports, check_free
from sentops_cli.programs import local_programs
from sentops_cli.screen import Screen, addresses_line
from sentops_cli.secrets_file import Secrets, forget_first_password, load_or_generate
from sentops_cli.services import Services, open_services
from sentops_cli.supervisor import Supervisor
from sentops_cli.training_show import TrainingShow
from sentops_core.domain.errors import PlatformError

log = structlog.get_logger()


@dataclass(frozen=True)
class UpOptions:
    ports: Ports
    base: str
    with_sample: bool
    external_database: str | None = None


async def run_platform(
    home: Home, options: UpOptions, screen: Screen, when_up: Callable[[], None]
) -> None:
    """Return after an orderly stop (Ctrl-C, SIGTERM, `sentops down`); CommandError when it cannot start.

    `when_up` is called once, when the page answers.
    """
    home.create()
    with only_supervisor(home), _stop_signals() as stop:
        secrets = load_or_generate(home.secrets)
        for ended in await asyncio.to_thread(end_leftovers, home, runs=False):
            screen.say(f"Ended {ended}, left over from a supervisor that was killed")
        _check_ports(home, options, secrets)
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            supervisor = Supervisor(home, client, screen.show, base=options.base)
            supervisor.refresh()  # from here on `sentops down` knows whom to ask
            work = asyncio.create_task(
                _bring_up(home, options, secrets, supervisor, screen, when_up), name="bring-up"
            )
            try:
                await _first_of(work, stop)
            finally:
                screen.say("Stopping")
                screen.training(())
                await supervisor.stop()
                screen.say("Stopped: nothing of it runs any more")


async def _first_of(work: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    """Until a stop is asked for; an error of the work goes on to the caller."""
    stopping = asyncio.create_task(stop.wait(), name="wait-for-stop")
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (work, stopping):
            task.cancel()
        await asyncio.gather(work, stopping, return_exceptions=True)


async def _bring_up(
    home: Home,
    options: UpOptions,
    secrets: Secrets,
    supervisor: Supervisor,
    screen: Screen,
    when_up: Callable[[], None],
) -> None:
    database = Database(
        home, options.ports, secrets, supervisor.refresh, external_url=options.external_database
    )
    try:
        await supervisor.start_database(database)
    except PlatformError as error:
        raise CommandError(str(error)) from error
    supervisor.reached("database")
    first_admin = await awaits_first_admin(database.url)
    await supervisor.start_programs(
        local_programs(
            home, options.ports, secrets, database_url=database.url, python=sys.executable
        )
    )
    seconds = supervisor.reached("page")
    screen.say(f"Sentops is up ({seconds:.0f} s)  {addresses_line(supervisor.state)}")
    if secrets.first_admin_password is not None:
        if first_admin:
            screen.say(
                f"First account of the back office: admin, password {secrets.first_admin_password} "
                "(shown only now)"
            )
        secrets = forget_first_password(home.secrets, secrets)
    when_up()
    async with open_services(local_addresses(supervisor.state, secrets)) as services:
        await _live(home, options, services, supervisor, screen)


async def _live(
    home: Home, options: UpOptions, services: Services, supervisor: Supervisor, screen: Screen
) -> None:
    """Show every training, and do the first run beside it. Never returns by itself."""

    def say(line: str) -> None:
        supervisor.first_run_is(line)
        screen.say(line)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(TrainingShow(services, screen).go_on(), name="show-training")
        try:
            await first_run(
                services,
                home.sample,
                Listener(say, supervisor.reached),
                base=options.base,
                with_sample=options.with_sample,
            )
        except CommandError as error:
            say(f"The first run stopped: {error} The next `sentops up` goes on with it.")
        else:
            _tell_times(supervisor, screen)


def _tell_times(supervisor: Supervisor, screen: Screen) -> None:
    words = {
        "page": "page",
        "sample_data": "sample data",
        "first_answer_live": "first answer",
        "first_answer_done": "first verdict",
        "fine_tuned_done": "verdict on the fine-tuned version",
        "fine_tuned_live": "fine-tuned version live",
    }
    known = supervisor.state.milestones
    if "sample_data" in known:
        times = ", ".join(f"{word} {known[key]:.0f}" for key, word in words.items() if key in known)
        screen.say(f"Seconds since the start: {times}")


def _check_ports(home: Home, options: UpOptions, secrets: Secrets) -> None:
    external = options.external_database is not None
    running = not external and embedded(home, options.ports.postgres, secrets).is_running()
    check_free(options.ports, skip=frozenset({POSTGRES} if external or running else ()))


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """SIGINT, SIGTERM and a closed terminal ask for an orderly stop; the stop itself is not disturbed."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
