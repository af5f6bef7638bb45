"""Image -> proposals: boxes that may hold an object, whatever object it is.

OpenCV is loaded when a method is called, not before.
"""

from arlib.proposals.cached import Cached, uncached
from arlib.proposals.controls import CenterCrops, FiveCrops, Grid, RandomBoxes
from arlib.proposals.edge_boxes import EdgeBoxes
from arlib.proposals.registry import make
from arlib.proposals.saliency import Saliency, most_salient_point, saliency_map
from arlib.proposals.selective_search import SelectiveSearch
from arlib.proposals.timeout import Deadline, DeadlineError
from arlib.proposals.types import Proposals

__all__ = [
    "Cached",
    "CenterCrops",
    "Deadline",
    "DeadlineError",
    "EdgeBoxes",
    "FiveCrops",
    "Grid",
    "Proposals",
    "RandomBoxes",
    "Saliency",
    "SelectiveSearch",
    "make",
    "most_salient_point",
    "saliency_map",
    "uncached",
]
