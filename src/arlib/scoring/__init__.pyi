from .cross_fold import (
    Classifiers as Classifiers,
    classify_boxes as classify_boxes,
)
from .distributed import (
    score_cross_fold as score_cross_fold,
    score_in_shards as score_in_shards,
)
from .inference import box_outputs as box_outputs, global_outputs as global_outputs
from .jobs import Job as Job
from .prediction import (
    Prediction as Prediction,
    predict as predict,
    prediction_from_scores as prediction_from_scores,
    score_image as score_image,
)
from .roi_features import score_cam as score_cam
from .scorer import score as score
from .scores import open_scores as open_scores, save_scores as save_scores
