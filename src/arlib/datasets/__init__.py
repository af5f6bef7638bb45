"""Where images and labels are: one module a dataset family, one registry, the one decoder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
