from .backbones import (
    Backbone as Backbone,
    convert_weights as convert_weights,
    load_backbone as load_backbone,
)
from .card import model_card as model_card
from .coupled import CoupledHead as CoupledHead
from .devices import memory_for as memory_for, resolve_device as resolve_device
from .engines import (
    Converted as Converted,
    Engine as Engine,
    Preprocessing as Preprocessing,
    make_engine as make_engine,
    resolve_engine as resolve_engine,
)
from .feature_maps import FeatureMaps as FeatureMaps, split_network as split_network
from .finetuner import fit_coupled as fit_coupled
from .finetuning import finetune as finetune, learning_curve as learning_curve
from .heads import LinearHead as LinearHead
from .models import Model as Model, load_model as load_model, load_predictor as load_predictor
from .training import TooFewError as TooFewError, Training as Training
from .weights import WeightsError as WeightsError, weights_at_hand as weights_at_hand
from .zoo import list_backbones as list_backbones
