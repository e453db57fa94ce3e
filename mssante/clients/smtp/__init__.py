"""SMTP to other operators: whom to connect to, what to prove and to verify, how to hand over."""
