"""Pulls studies from a PACS that cannot push: one process per source, everything into the gateway exactly once."""
