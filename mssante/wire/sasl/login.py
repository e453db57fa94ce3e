"""The LOGIN mechanism (draft-murchison-sasl-login-00): obsolete, but the only one of some clients.

The prompts are those that every client in use recognises: ``VXNlcm5hbWU6`` and ``UGFzc3dvcmQ6``
in base64.
"""

from typing import Final

from mssante.wire.sasl.credentials import PasswordCredentials, credentials_from

USERNAME_PROMPT: Final = b"Username:"
PASSWORD_PROMPT: Final = b"Password:"


class Login:
    """The server's side of one exchange."""

    def __init__(self) -> None:
        self._login: bytes | None = None

    def step(self, response: bytes | None) -> bytes | PasswordCredentials:
        """Take the client's next answer (None: it sent no initial response).

        Returns:
            The next prompt, not yet in base64, or the credentials.

        Raises:
            SaslError: login or password is empty, too long, or not UTF-8.
        """
        if response is None:
            return USERNAME_PROMPT
        if self._login is None:
            self._login = response
            return PASSWORD_PROMPT
        return credentials_from(b"", self._login, response)
