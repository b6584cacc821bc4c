"""Syncline keeps a company's CRMs and its own Postgres in agreement."""
