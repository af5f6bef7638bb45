from .crops import crop_regions as crop_regions
from .cross_fold import (
    Classifiers as Classifiers,
    classify_boxes as classify_boxes,
    score_cross_fold as score_cross_fold,
)
from .distributed import score_in_shards as score_in_shards
from .inference import (
    box_outputs as box_outputs,
    global_probabilities as global_probabilities,
    image_features as image_features,
)
from .jobs import Job as Job, named_job as named_job
from .prediction import (
    Prediction as Prediction,
    Region as Region,
    predict as predict,
    prediction_from_scores as prediction_from_scores,
    score_picture as score_picture,
)
from .scorer import score as score
from .scores import open_scores as open_scores, save_scores as save_scores
from .workers import NonRetryableError as NonRetryableError, in_processes as in_processes
