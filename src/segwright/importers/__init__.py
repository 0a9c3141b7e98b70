"""Other tools' data sets become channel folders: `command` chooses the reader, and each format has a module of its
own.

A reader hands over pairs that have not been read and the classes (`items`); `splitting` divides them, `writing`
reads and writes them one by one, and `frames` says how photographs that are noted as turned were labelled. `pictures`
(which finds images), `drawing`, `shapes`, `by_colour`, `by_number`, `colour_tables` and `documents` are what several
readers share; `other_tools` says what was given instead.
"""

from segwright.importers.run import FormatOptions, ImportFormat, ImportSummary, import_data

__all__ = ["FormatOptions", "ImportFormat", "ImportSummary", "import_data"]
