"""One file per family of commands; each handler is a function (session, command) to reply."""
