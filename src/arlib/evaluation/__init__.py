"""Turn scores into numbers: metrics, intervals, tests, sweeps, Table 1, localisation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
