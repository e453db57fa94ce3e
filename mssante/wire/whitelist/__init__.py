"""The white list of operators: the XML that ANS publishes, and nothing about who is trusted."""
