"""Pipedrive behind the connectors' contract: API v2, and v1 where v2 lacks it."""
