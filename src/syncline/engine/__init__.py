"""The verbs: pull, schedule, work. Moves records between connectors and store by the laws of the domain."""
