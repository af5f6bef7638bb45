from .dark import DARK as DARK
from .experiments import (
    plot_curves as plot_curves,
    plot_saturation as plot_saturation,
    plot_sweeps as plot_sweeps,
    show_failures as show_failures,
)
from .explorer import explore as explore
from .finetuning import (
    plot_differences as plot_differences,
    plot_gain as plot_gain,
    plot_learning as plot_learning,
    plot_reliability as plot_reliability,
    show_rows as show_rows,
)
from .fusion import plot_decision as plot_decision, plot_label_changes as plot_label_changes
from .images import show_pipeline as show_pipeline, show_prediction as show_prediction
from .knobs import knobs as knobs
from .proposals import (
    plot_objectness as plot_objectness,
    plot_recall as plot_recall,
    show_edges as show_edges,
    show_proposals as show_proposals,
)
from .regions import (
    plot_accuracy_by_score as plot_accuracy_by_score,
    plot_confidence as plot_confidence,
    plot_localization as plot_localization,
    plot_overlap as plot_overlap,
    plot_plane as plot_plane,
    plot_sentiment_score as plot_sentiment_score,
    show_selection as show_selection,
)
from .table1 import (
    plot_fusion_gains as plot_fusion_gains,
    plot_pairs as plot_pairs,
    plot_sensitivity as plot_sensitivity,
    plot_table as plot_table,
    table_html as table_html,
)
from .upload import load_classifier as load_classifier, upload_widget as upload_widget
