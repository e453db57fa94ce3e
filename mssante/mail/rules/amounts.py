"""How many recipients and how many octets one message may have."""

from mssante.kernel.reasons import Reason, Refusal


def check_recipient_count(accepted: int, most: int) -> None:
    """Refuse one recipient more than `most`; the client sends to the others apart (RFC 5321
    section 4.5.3.1.10).

    Raises:
        Refusal: TOO_MANY_RECIPIENTS.
    """
    if accepted >= most:
        raise Refusal(Reason.TOO_MANY_RECIPIENTS, f"more than {most} recipients")


def check_size(octets: int, most: int) -> None:
    """Refuse what is declared or found larger than `most` octets (RFC 1870).

    Raises:
        Refusal: MESSAGE_TOO_LARGE.
    """
    if octets > most:
        raise Refusal(Reason.MESSAGE_TOO_LARGE, f"{octets} octets, at most {most}")
