"""Which certificate: anchors, the sandbox PKI, what a certificate may do."""
