"""Hostile bytes for a parser: it may return or raise UserError; anything else is a fault.

`scripts/fuzz.py` runs many inputs, `tests/test_fuzz.py` a few; the parsers are in fuzz_formats, fuzz_importers and
fuzz_others.
"""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segwright.errors import UserError

Parse = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """A parser and bytes that it reads."""

    seeds: Callable[[], Sequence[bytes]]
    parse: Parse


def parse_text(parse: Callable[[str, str], object]) -> Parse:
    """A parser of text and file name as one of bytes."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"), "hostile.txt")


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four small changes: flipped bits, other bytes, lying numbers, cuts, copies, other places."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = (
            chance.randrange(len(changed) + 1) if chance.random() < 0.5 else chance.randrange(min(len(changed), 64) + 1)
        )
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 2:
                number = chance.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000))
                order = chance.choice("<>")
                width = chance.choice(("H", "I"))
                changed[place : place + 4] = struct.pack(
                    order + width, number & (0xFFFF if width == "H" else 0xFFFFFFFF)
                )
            case 3:
                del changed[place:]
            case 4:
                end = place + chance.randrange(1, 32)
                changed[place:place] = changed[place:end]
            case 5:
                del changed[place : place + chance.randrange(1, 32)]
            case _:
                other = chance.randrange(len(changed) + 1)
                changed[place : place + 8] = changed[other : other + 8]
    return bytes(changed)


def attempt(target: Target, data: bytes) -> str | None:
    """What went wrong, or None: parsed, or refused with a sentence."""
    try:
        target.parse(data)
    except UserError as error:
        return None if str(error).strip() else "an error without words"
    except RecursionError as error:  # named apart: it is bounded by the interpreter, but a fault all the same
        return f"RecursionError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
