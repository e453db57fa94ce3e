"""Carries accepted messages through the read steps and their effects; holds no rule itself."""
