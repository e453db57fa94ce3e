"""IMAP4rev1 (RFC 3501) on the wire: bytes to commands, responses to bytes. No I/O."""
