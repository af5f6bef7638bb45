"""Eq. 1, 2 and 3 and Algorithm 1: arithmetic on arrays."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
