"""What the general decoder raises for a structure that is not what was promised, as one word."""

from collections.abc import Callable
from typing import Final, TypeVar

from mssante.wire.smime.errors import Malformed, Unsupported

_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
)
Value = TypeVar("Value")


def decoded(read: Callable[[], Value]) -> Value:
    """What `read` gives; an error of the decoder becomes `Malformed`.

    Raises:
        Malformed: asn1-structure, or what `read` itself raises.
    """
    try:
        return read()
    except (Malformed, Unsupported):
        raise
    except _ERRORS:
        raise Malformed("asn1-structure") from None
