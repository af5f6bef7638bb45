from .baselines.pcnn import (
    UNIFORM_SHARE as UNIFORM_SHARE,
    drop_probability as drop_probability,
    train_on as train_on,
)
from .photographs import (
    Experiment as Experiment,
    fit_dataset_head as fit_dataset_head,
    parse_experiment as parse_experiment,
    run_name as run_name,
)
from .registry import (
    LabelsNeeded as LabelsNeeded,
    find_run as find_run,
    find_run_results as find_run_results,
    images_of as images_of,
    need_labels as need_labels,
    network_of as network_of,
    open_run_results as open_run_results,
    runs_of as runs_of,
)
from .runs import (
    METHODS as METHODS,
    compare as compare,
    open_run as open_run,
    write_baselines as write_baselines,
    write_run as write_run,
)
from .synthetic import (
    SETTINGS as SETTINGS,
    SyntheticProtocol as SyntheticProtocol,
    fine_tune as fine_tune,
    parse_synthetic as parse_synthetic,
    pretrain as pretrain,
    progressive as progressive,
    restore_synthetic as restore_synthetic,
    scored as scored,
)
