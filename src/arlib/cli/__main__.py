"""Run the command line as `python -m arlib.cli`."""

from arlib.cli import main

main()
