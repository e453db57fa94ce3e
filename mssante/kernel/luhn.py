"""The Luhn check digit (ISO/IEC 7812-1 annex B) of RPPS, FINESS, SIREN and SIRET."""


def luhn_valid(digits: str) -> bool:
    """Whether the last digit of `digits` (ASCII 0-9 only) is the Luhn key of those before it."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        value = ord(character) - 48
        if position % 2:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0


def luhn_key(digits: str) -> str:
    """The digit to append to `digits` so that :func:`luhn_valid` holds."""
    return next(key for key in "0123456789" if luhn_valid(digits + key))
