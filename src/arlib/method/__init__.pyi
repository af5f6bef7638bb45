from .algorithm import (
    RULE_2018 as RULE_2018,
    affective_regions as affective_regions,
    predict_labels as predict_labels,
)
from .fusion import late_fusion as late_fusion
from .polarity import (
    first_side as first_side,
    polarities as polarities,
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
