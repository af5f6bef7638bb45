"""Affective regions: which parts of a picture carry its sentiment, and what they add."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "algorithm",
        "baselines",
        "backbones",
        "batches",
        "boxes",
        "cache",
        "calibration",
        "crops",
        "datasets",
        "edges",
        "editions",
        "evaluation",
        "figures",
        "finetuning",
        "fusion",
        "heads",
        "images",
        "intervals",
        "localization",
        "machine",
        "miniature",
        "prediction",
        "proposals",
        "ranking",
        "recall",
        "runs",
        "scores",
        "scoring",
        "sentiment",
        "settings",
        "shelf",
        "stream",
        "tiny",
        "training",
        "whole",
    ],
    submod_attrs={"prediction": ["Prediction", "predict"]},
)
