"""The command line, thin over the library: `arlib run | lab | table | predict | score | ...`."""

from arlib.cli.commands import app, main

__all__ = ["app", "main"]
