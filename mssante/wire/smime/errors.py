"""Why an S/MIME message cannot be read, verified or opened. Functions here raise, or they succeed.

Every error carries a stable word and no content: neither names, nor octets of the message.
"""


class SmimeError(ValueError):
    """Something is wrong with one layer of a message.

    Attributes:
        word: the stable machine word, which is also the exception's text.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Malformed(SmimeError):
    """The octets break the grammar, pass a limit, or are put together in a dangerous way."""


class Unsupported(SmimeError):
    """Well formed, with an algorithm or a content that we do not know."""


class SignatureInvalid(SmimeError):
    """The signature does not prove what it claims, or proves it with what is too weak."""


class NoRecipientKey(SmimeError):
    """None of the keys at hand is named among the recipients."""

    def __init__(self) -> None:
        super().__init__("no-recipient-key")


class DecryptionFailed(SmimeError):
    """A key was named and the content did not open. One word for all causes: it is no oracle."""

    def __init__(self) -> None:
        super().__init__("decryption-failed")
