from .cached import Cached as Cached, uncached as uncached
from .controls import (
    CenterCrops as CenterCrops,
    FiveCrops as FiveCrops,
    Grid as Grid,
    RandomBoxes as RandomBoxes,
)
from .edge_boxes import EdgeBoxes as EdgeBoxes
from .edges import edge_map as edge_map
from .registry import make as make
from .saliency import Saliency as Saliency, most_salient_point as most_salient_point
from .selective_search import SelectiveSearch as SelectiveSearch
from .timeout import Deadline as Deadline, DeadlineError as DeadlineError
from .types import Proposals as Proposals, Propose as Propose, check_count as check_count
