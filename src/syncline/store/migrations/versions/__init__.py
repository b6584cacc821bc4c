"""The revisions of the schema, in the order of their numbers. Nothing is imported from here."""
