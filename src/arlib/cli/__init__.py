"""The command line, thin over the library: `arlib run | lab | table | predict | score | ...`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
