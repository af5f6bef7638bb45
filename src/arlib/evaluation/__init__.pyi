from .boxes import (
    box_iou as box_iou,
    locate as locate,
    locate_rules as locate_rules,
    map_ratio as map_ratio,
    recall_curves as recall_curves,
)
from .calibration import calibrate as calibrate, reliability as reliability
from .failures import causes as causes
from .further import further_methods as further_methods, saturation as saturation
from .metrics import compare as compare, evaluate as evaluate, majority_rate as majority_rate
from .report import (
    compare_runs as compare_runs,
    format_interval as format_interval,
    format_number as format_number,
    format_range as format_range,
    format_table as format_table,
    predictions as predictions,
    verdicts as verdicts,
)
from .robustness import redundancy as redundancy, sensitivity as sensitivity
from .rows import methods as methods
from .runs import LabelsNeeded as LabelsNeeded, Run as Run
from .selection import curves as curves
from .significance import (
    can_change as can_change,
    holm as holm,
    label_changes as label_changes,
    smallest_difference as smallest_difference,
)
from .sweeps import sweep as sweep
from .tables import (
    compare_rows as compare_rows,
    paper_table as paper_table,
    table1 as table1,
)
