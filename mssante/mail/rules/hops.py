"""A message that has passed through too many servers runs in a loop (RFC 5321 section 6.3)."""

from mssante.kernel.reasons import Reason, Refusal


def check_hops(received_fields: int, most: int) -> None:
    """Count Received fields.

    Raises:
        Refusal: LOOP_DETECTED.
    """
    if received_fields > most:
        raise Refusal(Reason.LOOP_DETECTED, f"{received_fields} Received fields")
