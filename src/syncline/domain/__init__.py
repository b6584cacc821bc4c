"""What things mean. Plain functions and values: no I/O, no database, no HTTP."""
