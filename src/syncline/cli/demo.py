"""`syncline demo`: everything at once, on this machine, with a simulated CRM and a database of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import typer

from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.hub import Hub, open_hub
from syncline.actions.schedules import hurry_schedules
from syncline.actions.setup import initialize
from syncline.actions.status import read_status
from syncline.actions.sync import sync
from syncline.actions.work import run_worker
from syncline.cli.demo_admin import ADMIN, let_admin_in
from syncline.cli.demo_home import DemoHome, open_demo_home
from syncline.cli.demo_simulator import Simulation, run_simulator
from syncline.cli.demo_view import print_next_steps, render_counts, show_life
from syncline.cli.exit_codes import FAILURE, code_of_all
from syncline.cli.output import open_console
from syncline.cli.progress import show_progress
from syncline.cli.running import run
from syncline.cli.sync import show_result
from syncline.config import Settings
from syncline.engine.readings import READINGS
from syncline.errors import Invalid, RetryLater
from syncline.simulators.registry import SIMULATORS
from syncline.web.server import serving

_NAME = "demo"
#: Calls per 10 seconds, as a paying customer of a large CRM has them.
_RATE = 190
#: The demo's schedules are minutes made seconds, so that something is seen at once.
_OBJECTS_SECONDS = 5.0
_READINGS_SECONDS = 30.0
_HOST, _PORT = "127.0.0.1", 8750
_FIRST = next(iter(SIMULATORS))


def command(
    once: Annotated[bool, typer.Option("--once", help="End after the first sync.")] = False,
    contacts: Annotated[int, typer.Option("--contacts", min=1, max=2_000_000, metavar="N")] = 29_000,
    edits: Annotated[
        float, typer.Option("--edits-per-minute", min=0, max=6000, help="How busy the colleagues are.")
    ] = 30.0,
    platform: Annotated[str, typer.Option("--platform", help="Which simulated CRM.")] = _FIRST,
) -> None:
    """Try everything on this machine: a simulated CRM, an embedded Postgres, a first sync, and then life.

    It has a home of its own, the folder demo in SYNCLINE_HOME, and touches nothing else. Started again it
    goes on where it was. Ctrl-C ends it.
    """
    if platform not in SIMULATORS:
        raise Invalid(f"There is no simulator of {platform}. There are: {', '.join(sorted(SIMULATORS))}.")

    async def play(settings: Settings) -> int:
        demo = await open_demo_home(settings, platform, contacts)
        try:
            return await _play(demo, once=once, edits=edits)
        finally:
            demo.lock.close()

    raise typer.Exit(run(play))


async def _play(demo: DemoHome, *, once: bool, edits: float) -> int:
    console = open_console()
    verb = "goes on" if demo.goes_on else "begins"
    console.print(f"The demo {verb} in {demo.settings.home}: a Postgres and a simulated CRM are started.")
    simulator = run_simulator(
        demo.plan.platform,
        anchor=demo.plan.anchor,
        journal=demo.journal,
        **SIMULATORS[demo.plan.platform].scale(demo.plan.contacts),
        seed=demo.plan.seed,
        rate=_RATE,
    )
    preparing = asyncio.create_task(initialize(demo.settings))  # takes as long as the simulator's start
    try:
        async with simulator as simulation:
            await preparing
            async with open_hub(demo.settings, application_name="syncline demo") as hub:
                return await _present(hub, demo, simulation, once=once, edits=edits)
    finally:
        preparing.cancel()
        await asyncio.wait([preparing])


async def _present(hub: Hub, demo: DemoHome, simulation: Simulation, *, once: bool, edits: float) -> int:
    console = open_console()
    connected = await connect_token(hub, Wish(demo.plan.platform, _NAME, simulation.url), simulation.token)
    account = connected.found.account
    console.print(f"Connected: {account.name} at {simulation.url}.", markup=False)
    # Only the first sync reads everything; then what there is tells how long it will take.
    counts = {} if demo.goes_on else {(_NAME, one.object): one.count or 0 for one in connected.found.objects}
    async with show_progress(hub, expected=counts) as progress:
        result = await sync(hub, names=[_NAME], requested_by="demo", progress=progress)
    show_result(result)
    status = await read_status(hub, ask_source=True)
    table, equal = render_counts(status)
    console.print(table)
    password = await let_admin_in(hub)
    print_next_steps(console, demo, lives_on=not once)
    if result.errors:
        return code_of_all(result.errors)
    if once:
        return 0 if equal else FAILURE
    async with _pages(hub) as address:
        console.print(f"The web application: {address}", markup=False)
        console.print(f"Sign in as {ADMIN} with the password {password}\n", markup=False)
        await _live(hub, connected, simulation, edits)
    console.print("The demo has ended. Its data stays; the next start goes on with it.")
    return 0


@asynccontextmanager
async def _pages(hub: Hub) -> AsyncGenerator[str]:
    """Serve the pages at the usual port, or at any other where that is taken."""
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(serving(hub, host=_HOST, port=_PORT))
        except Invalid:
            address = await stack.enter_async_context(serving(hub, host=_HOST, port=0))
        yield address


async def _live(hub: Hub, connected: Connected, simulation: Simulation, edits: float) -> None:
    """Let colleagues edit and a worker keep up, until Ctrl-C."""
    console = open_console()
    stop = asyncio.Event()
    # The worker puts its own in this one's place; until then Ctrl-C is an end like any other.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    console.print(f"Simulated colleagues now make {edits:g} edits a minute in the CRM. Ctrl-C ends the demo.")
    await simulation.change(edits_per_minute=edits)
    names = [each.object for each in connected.found.objects]
    others = [
        asyncio.create_task(_hurry(hub, connected, names, _OBJECTS_SECONDS)),
        asyncio.create_task(_hurry(hub, connected, READINGS, _READINGS_SECONDS)),
        asyncio.create_task(show_life(console, hub, stop)),
    ]
    try:
        await run_worker(hub, stop=stop)
    finally:
        stop.set()
        for task in others[:2]:
            task.cancel()
        await asyncio.wait(others)
        await simulation.change(edits_per_minute=0)


async def _hurry(hub: Hub, connected: Connected, objects: Sequence[str], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await hurry_schedules(hub, connected.connection, objects)
        except RetryLater:
            continue  # the database was away for a moment
