"""Which hosts are this machine, as far as their name or number tells. Looks nothing up."""

from __future__ import annotations

import ipaddress


def is_this_machine(host: str) -> bool:
    """Tell whether a host, as addresses have it, is a loopback one; all other names are elsewhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
