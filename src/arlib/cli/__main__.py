"""`python -m arlib.cli`."""

from arlib.cli import main

main()
