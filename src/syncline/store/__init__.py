"""All SQL, and nothing but SQL: one module per subject."""
