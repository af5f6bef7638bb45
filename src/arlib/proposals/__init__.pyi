from .controls import Grid as Grid, RandomBoxes as RandomBoxes
from .edge_boxes import EdgeBoxes as EdgeBoxes
from .edges import edge_map as edge_map
from .from_file import (
    FileBoxes as FileBoxes,
    bound as bound,
    propose_named as propose_named,
)
from .registry import is_file_of_boxes as is_file_of_boxes, make_proposals as make_proposals
from .saliency import (
    Saliency as Saliency,
    most_salient_point as most_salient_point,
    regions_of_map as regions_of_map,
)
from .selective_search import SelectiveSearch as SelectiveSearch
from .types import Proposals as Proposals, Propose as Propose
