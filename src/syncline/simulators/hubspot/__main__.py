"""Starts the simulator: `python -m syncline.simulators.hubspot`."""

import sys

from syncline.simulators.hubspot.command import main

if __name__ == "__main__":
    sys.exit(main())
