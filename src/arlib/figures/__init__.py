"""The figures of the book, data in and a matplotlib `Figure` out, the explorer and the widget."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
