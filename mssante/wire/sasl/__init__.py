"""SASL mechanisms (RFC 4422) as they look on the wire, without their framing by SMTP or IMAP."""
