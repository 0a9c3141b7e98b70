"""The style that all pages of Segwright share: colours, light and dark, type, cards and keys (`style.css`)."""

from importlib.resources import files
from typing import Final

STYLE: Final = files(__name__).joinpath("style.css").read_text("utf-8")
