"""Messages, mailboxes, folders, the spool: everything between 250 and the reader's screen."""
