"""What can be wrong with the bytes of a client. The texts are safe to send back: no content."""


class GrammarError(ValueError):
    """A command does not follow the grammar; answered with BAD and this text.

    Attributes:
        tag: the tag of the command, or None where it could not be read.
    """

    def __init__(self, text: str, tag: str | None = None) -> None:
        super().__init__(text)
        self.tag = tag


class UnknownCharset(GrammarError):
    """SEARCH names a charset that we do not read; answered with NO [BADCHARSET …]."""
