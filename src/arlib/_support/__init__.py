"""Private: atomic storage, provenance, settings."""
