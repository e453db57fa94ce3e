"""The tables, one module per database: directory, mail, dmp, spool; and the audit in each."""
