"""An edition of the book: chapters executed, pages written, the site built."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
