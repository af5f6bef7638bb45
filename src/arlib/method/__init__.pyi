from .algorithm import (
    K as K,
    affective_regions as affective_regions,
    predict_labels as predict_labels,
    respond_2018 as respond_2018,
)
from .fusion import late_fusion as late_fusion
from .polarity import (
    POLARITY_OF as POLARITY_OF,
    first_side as first_side,
    has_polarity as has_polarity,
    in_polarity as in_polarity,
    polarities as polarities,
    sums as sums,
    to_polarity as to_polarity,
)
from .ranking import (
    affective_score as affective_score,
    normalize_objectness as normalize_objectness,
    take_regions as take_regions,
    top_regions as top_regions,
)
from .sentiment import (
    sentiment_range as sentiment_range,
    sentiment_score as sentiment_score,
    usable_base as usable_base,
)
