"""XDS metadata of the French profile: document entries and submission sets (IHE ITI TF-3 4.2)."""
