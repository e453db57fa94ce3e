"""The outbound network: what this operator asks of others."""
