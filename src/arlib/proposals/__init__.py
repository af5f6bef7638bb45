"""An image becomes boxes with objectness, which may hold an object of any class.

OpenCV is loaded when a method is called, not before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
