"""Synthetic scenes: drawn images whose sentiment, and the regions that carry it, are known."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
