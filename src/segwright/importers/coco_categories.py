"""The categories of COCO files as classes.

Knows that class 0 is background, and that some tools list a category that only groups the others. Refuses to know
images and annotations.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from segwright.importers.coco_regions import Identity
from segwright.importers.dataset import BACKGROUND, checked_names, class_name
from segwright.wording import listed

logger = logging.getLogger(__name__)


class Category(BaseModel):
    """One category, as the file has it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Identity
    name: str
    supercategory: Any = None

    @property
    def class_name(self) -> str:
        """The name without space around it; one of the usual words for background is just that."""
        return class_name(self.name)


def class_names(categories: Sequence[Category], used: Collection[str], where: str) -> tuple[str, ...]:
    """Background, and the categories in their order, of which `used` have annotations; those of one name are one class.

    A category without annotations to which others belong is left out, and told. Raises LabelError that says `where`
    for names that cannot be used.
    """
    names = list(dict.fromkeys([BACKGROUND, *(category.class_name for category in categories)]))
    parents = {
        parent
        for category in categories
        if (parent := str(category.supercategory).strip().casefold()) != category.class_name.casefold()
    }
    idle = [name for name in names if name not in used and name != BACKGROUND]
    groups = [name for name in idle if name.casefold() in parents]
    if len(groups) == 1:
        logger.info(f"the category {groups[0]} only groups others and is left out")
    elif groups:
        logger.info(f"the categories {listed(groups)} only group others and are left out")
    if others := [name for name in idle if name not in groups]:
        logger.info(f"no annotation is of {listed(others)}: such categories stay classes")
    return checked_names([name for name in names if name not in groups], f"{where}, background and categories")
