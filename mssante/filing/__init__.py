"""The clerk: attached clinical documents into the right patient's DMP. Knows mail and DMP."""
