"""All talk with outside CRMs: one folder each, behind the contract in `base`."""
