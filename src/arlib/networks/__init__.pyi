from .backbones import (
    Backbone as Backbone,
    WeightsError as WeightsError,
    load_backbone as load_backbone,
    weights_at_hand as weights_at_hand,
)
from .finetuning import finetune as finetune, learning_curve as learning_curve
from .heads import (
    LinearHead as LinearHead,
    default_head as default_head,
    fit_head as fit_head,
)
from .precision import (
    Precision as Precision,
    best_device as best_device,
    resolve_dtype as resolve_dtype,
)
from .training import TooFewError as TooFewError, Training as Training
