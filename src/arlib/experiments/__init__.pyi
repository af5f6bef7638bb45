from .baselines.pcnn import (
    UNIFORM_SHARE as UNIFORM_SHARE,
    drop_probability as drop_probability,
    train_on as train_on,
)
from .photographs import (
    Experiment as Experiment,
    fit_dataset_head as fit_dataset_head,
)
from .registry import (
    LabelsNeeded as LabelsNeeded,
    experiment_settings as experiment_settings,
    find_run as find_run,
    images_of as images_of,
    need_labels as need_labels,
    network_of as network_of,
    parse_experiment as parse_experiment,
    runs_of as runs_of,
)
from .runs import compare_scores as compare_scores, open_run as open_run
from .synthetic import (
    SyntheticProtocol as SyntheticProtocol,
    fine_tune as fine_tune,
    pretrain as pretrain,
    progressive as progressive,
    scored as scored,
)
