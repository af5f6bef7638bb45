"""Scores become numbers: metrics, intervals, tests, sweeps, Table 1, localisation."""
