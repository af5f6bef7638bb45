"""Affective regions: which parts of an image carry its sentiment, and what they add."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "cli",
        "datasets",
        "evaluation",
        "experiments",
        "figures",
        "method",
        "networks",
        "proposals",
        "publishing",
        "scoring",
    ],
    submod_attrs={"scoring.prediction": ["Prediction", "predict"]},
)
