"""The HTTP door. Thin: it reads requests, calls actions and shows their answers."""
