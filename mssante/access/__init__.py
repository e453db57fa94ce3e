"""Who may do what: authentication, sessions' identities, audit."""
