"""Turns other tools' data sets into channel folders: `run` chooses a reader, then `split` and `write` take them."""

from segwright.importers.run import FormatOptions, ImportFormat, ImportSummary, import_data
from segwright.importers.split import SplitOptions

__all__ = ["FormatOptions", "ImportFormat", "ImportSummary", "SplitOptions", "import_data"]
