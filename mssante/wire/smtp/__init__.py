"""SMTP on the wire (RFC 5321, RFC 6409): commands, replies, and the end of mail data."""
