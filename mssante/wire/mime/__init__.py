"""Internet messages (RFC 5322, RFC 2045 to 2049, RFC 2231): scanned as bytes, never rebuilt."""
