"""The outbound network: what we ask of others."""
