"""Which simulators there are. The only module of theirs that a door needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from syncline.simulators.hubspot import command as hubspot
from syncline.simulators.pipedrive import command as pipedrive


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulated CRM that can be run from a command line or by name with options."""

    label: str
    #: Serves until interrupted; takes the options of the command line by name (`latency_ms=150`).
    run: Callable[..., None]
    #: The same with a command line's words; returns the exit code.
    main: Callable[[Sequence[str] | None], int]
    #: The token it accepts without further ado.
    token: str
    #: Number of contacts → how many records of each kind go with them, as options.
    scale: Callable[[int], Mapping[str, int]]


SIMULATORS: Mapping[str, Simulator] = {
    "hubspot": Simulator("HubSpot", hubspot.run, hubspot.main, hubspot.DEFAULT_TOKEN, hubspot.scale),
    "pipedrive": Simulator(
        "Pipedrive", pipedrive.run, pipedrive.main, pipedrive.DEFAULT_TOKEN, pipedrive.scale
    ),
}
