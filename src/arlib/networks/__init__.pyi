from .backbones import (
    Backbone as Backbone,
    WeightsError as WeightsError,
    convert_weights as convert_weights,
    load_backbone as load_backbone,
    weights_at_hand as weights_at_hand,
)
from .finetuning import finetune as finetune, learning_curve as learning_curve
from .heads import LinearHead as LinearHead
from .models import Model as Model, load_model as load_model
from .precision import resolve_device as resolve_device
from .training import TooFewError as TooFewError, Training as Training
