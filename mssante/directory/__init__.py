"""Who is who: accounts, mailboxes, domains, professionals, organisations, applications, patients."""
