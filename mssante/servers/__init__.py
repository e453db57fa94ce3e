"""The wall to the inbound network. Parse, call one service, answer; no business rule here."""
