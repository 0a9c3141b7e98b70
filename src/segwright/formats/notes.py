"""What a reader drops from a file, or assumes of it.

Notes are facts that travel with the pixels; `data.pixel_notes` makes sentences of them, one for a whole data set.
"""

from dataclasses import dataclass
from typing import Literal

NoteKind = Literal["pages", "band", "no-data", "zero", "rounded"]


@dataclass(frozen=True)
class Note:
    """One fact about one file. What `count` and `detail` mean depends on `kind`:

    - `pages`: of `count` pages, slices or frames only the first is read.
    - `band`: the last band, number `count`, is dropped as opacity but has the values of a picture; with `detail` bands
      it would be kept.
    - `no-data`: `count` pixels have no data: `detail` names their numbers.
    - `zero`: the file calls 0 its no-data value, but 0 is kept as a class; `count` pixels have it.
    - `rounded`: whole numbers above 2^24 are rounded to float32; `detail` is the largest.
    """

    kind: NoteKind
    count: int = 0
    detail: str = ""
