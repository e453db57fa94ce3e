"""An archive as values, and what reading one may cost."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mssante.wire.cda.model import Private
from mssante.wire.cda.problems import Problem, Severity
from mssante.wire.xdm.unzip import ZipLimits
from mssante.wire.xds.ebrim_reader import ReceivedEntry
from mssante.wire.xds.model import SubmissionSet
from mssante.wire.xml import XmlLimits


@dataclass(frozen=True, slots=True)
class XdmLimits:
    """What one archive may cost."""

    files: ZipLimits = field(default_factory=ZipLimits)
    metadata: XmlLimits = field(default_factory=lambda: XmlLimits(size=4_194_304, depth=30))
    """Of each METADATA.XML."""
    subsets: int = 20
    documents: int = 50
    """DocumentEntries of all subsets together."""


@dataclass(frozen=True, slots=True, repr=False)
class XdmDocument(Private):
    """One DocumentEntry with its file."""

    received: ReceivedEntry
    where: str
    """``subset 1, document 2``: its place, for people."""
    content: bytes | None
    """`None` where the file is not to be found or read; `problems` says why."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, repr=False)
class XdmSubset(Private):
    """A folder of the archive: one submission set."""

    submission_set: SubmissionSet | None
    """`None` where the producer left it out."""
    documents: tuple[XdmDocument, ...]
    """In the order of their DocumentEntries."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, repr=False)
class XdmArchive(Private):
    """Everything that an archive says."""

    subsets: tuple[XdmSubset, ...]
    """By the names of their folders."""
    problems: tuple[Problem, ...]
    """Of the archive as a whole."""

    @property
    def all_problems(self) -> Iterator[Problem]:
        """Also those of subsets and documents."""
        yield from self.problems
        for subset in self.subsets:
            yield from subset.problems
            for document in subset.documents:
                yield from document.problems

    @property
    def refusal(self) -> str | None:
        """Why the archive as a whole cannot be trusted: the code of its first error."""
        return next((one.code for one in self.all_problems if one.severity is Severity.ERROR), None)
