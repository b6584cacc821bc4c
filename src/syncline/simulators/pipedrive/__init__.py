"""A Pipedrive that runs on this machine: its APIs v2 and v1, faults and ground truth. Knows no engine."""

from syncline.simulators.pipedrive.settings import Settings
from syncline.simulators.pipedrive.world import World

__all__ = ["Settings", "World"]
