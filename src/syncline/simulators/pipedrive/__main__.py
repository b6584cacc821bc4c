"""Starts the simulator: `python -m syncline.simulators.pipedrive`."""

import sys

from syncline.simulators.pipedrive.command import main

if __name__ == "__main__":
    sys.exit(main())
