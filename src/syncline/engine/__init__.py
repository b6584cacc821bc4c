"""The verbs: pull, schedule, work. Moves records between connectors and the store by the laws of the domain."""
