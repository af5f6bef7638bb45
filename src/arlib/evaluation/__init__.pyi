from .boxes import box_iou as box_iou, locate as locate, recall_curves as recall_curves
from .calibration import (
    apply_temperature as apply_temperature,
    expected_calibration_error as expected_calibration_error,
    fit_temperature as fit_temperature,
    reliability as reliability,
)
from .curves import ALL as ALL, curves as curves, hits as hits
from .failures import CAUSES as CAUSES, causes as causes
from .methods import REFERENCE as REFERENCE, Run as Run, methods as methods
from .metrics import evaluate as evaluate, majority_rate as majority_rate
from .report import (
    as_csv as as_csv,
    as_json as as_json,
    as_text as as_text,
    cell as cell,
    compare_runs as compare_runs,
    comparison_as_json as comparison_as_json,
    predictions as predictions,
    table_of as table_of,
)
from .sensitivity import overlap as overlap, sensitivity as sensitivity
from .significance import (
    can_change as can_change,
    fold_means as fold_means,
    label_changes as label_changes,
)
from .sweeps import sweep as sweep
from .table1 import (
    COLUMNS as COLUMNS,
    column as column,
    columns_of as columns_of,
    paper_column as paper_column,
    paper_table as paper_table,
    pool as pool,
)
