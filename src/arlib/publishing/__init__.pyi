from .build import run_edition as run_edition
from .chapters import execute_chapter as execute_chapter, verify as verify
from .editions import (
    Edition as Edition,
    EditionError as EditionError,
    available as available,
    chapter_parameters as chapter_parameters,
    chapters as chapters,
    edition_runs as edition_runs,
    find_book as find_book,
    load_edition as load_edition,
)
from .hosting import Public as Public
from .records import (
    beginning as beginning,
    built as built,
    compare_editions as compare_editions,
    moment as moment,
)
