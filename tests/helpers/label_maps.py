"""Any label map, for property tests."""

from collections.abc import Sequence

from hypothesis import strategies as st

from segwright.labels import LabelMap

PIXEL_VALUES = st.one_of(st.integers(0, 255), st.integers(0, 65535))


CLASS_NAMES = (st.text(min_size=1) | st.text('aA7²# ,["', min_size=1)).map(str.strip).filter(bool)


def named_values(names: Sequence[str]) -> st.SearchStrategy[dict[int, int]]:
    """Classes of pixel values, none beyond the names."""
    return st.dictionaries(PIXEL_VALUES, st.integers(0, len(names) - 1), min_size=1, max_size=30)


@st.composite
def label_maps(draw: st.DrawFn) -> LabelMap:
    """Any label map: a scale or values, with names or without."""
    names = draw(st.none() | st.lists(CLASS_NAMES, min_size=1, max_size=9, unique=True).map(tuple))
    if draw(st.booleans()):
        return LabelMap(scale=draw(st.integers(1, 300) | st.integers(1, 65535)), class_names=names)
    values = draw(named_values(names or ("",) * 254))
    return LabelMap(values=tuple(values.items()), class_names=names)
