"""A HubSpot that runs on this machine: its CRM API, faults and ground truth. Knows nothing of the engine."""

from syncline.simulators.hubspot.world import Settings, World

__all__ = ["Settings", "World"]
