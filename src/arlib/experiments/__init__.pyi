from .baselines.pcnn import drop_probability as drop_probability, train_on as train_on
from .names import network_words as network_words
from .photographs import (
    Experiment as Experiment,
    fit_dataset_head as fit_dataset_head,
)
from .protocol import (
    STAGES as STAGES,
    Finetuning as Finetuning,
    Protocol as Protocol,
    scenes_protocol as scenes_protocol,
)
from .registry import (
    add_run as add_run,
    experiment_settings as experiment_settings,
    find_record as find_record,
    find_run as find_run,
    images_of as images_of,
    list_runs as list_runs,
    parse_experiment as parse_experiment,
    shown_images as shown_images,
)
from .runs import open_run as open_run
