"""XDM archives: documents and their metadata in a ZIP file (IHE ITI TF-2 3.32, ITI-32)."""
