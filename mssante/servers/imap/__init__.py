"""IMAP4rev1 server: the engine of ``wire.imap`` on sockets, over ``mail.mailboxes``."""
