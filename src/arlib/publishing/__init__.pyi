from .build import plan_edition as plan_edition, run_edition as run_edition
from .editions import (
    edition_runs as edition_runs,
    find_book as find_book,
    list_parameters as list_parameters,
    load_edition as load_edition,
)
from .records import (
    compare_editions as compare_editions,
    list_editions as list_editions,
)
