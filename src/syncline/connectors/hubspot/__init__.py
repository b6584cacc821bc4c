"""HubSpot: everything the rest of the program needs to know of it stays in this folder."""
