"""The web application: pages rendered here, over the same actions as every other door."""
