import random

import pytest

from tests.helpers.fuzz_formats import FORMATS
from tests.helpers.fuzz_importers import IMPORTERS
from tests.helpers.fuzz_others import OTHERS
from tests.helpers.fuzzing import attempt, mutate

TARGETS = FORMATS | IMPORTERS | OTHERS
INPUTS = 250


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_parsed_or_refused_with_a_sentence(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    for seed in seeds:
        target.parse(seed)  # nothing is refused that is right
    for number in range(INPUTS):
        chance = random.Random(f"suite {name} {number}")
        data = mutate(chance.choice(seeds), chance)
        assert attempt(target, data) is None, f"input {number}"
