"""What is wrong or remarkable in a received document, in words free of its content."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Severity(StrEnum):
    """How much a problem weighs."""

    ERROR = "error"
    """The document breaks a rule that a reader needs; it may still be readable."""
    WARNING = "warning"
    """Kept as received, but a person should know."""
    NOTE = "note"
    """An assumption that we made."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `text` and `where` never quote the document's values."""

    severity: Severity
    code: str
    """A stable word, such as ``ins-key``."""
    where: str
    """Path of elements below ClinicalDocument."""
    text: str
