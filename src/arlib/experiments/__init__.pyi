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
    evidence_of as evidence_of,
    find_evidence as find_evidence,
    find_run as find_run,
    need_labels as need_labels,
    network_of as network_of,
    pictures_of as pictures_of,
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
    Miniature as Miniature,
    fine_tune as fine_tune,
    parse_miniature as parse_miniature,
    pretrain as pretrain,
    progressive as progressive,
    restore_miniature as restore_miniature,
    scored as scored,
)
