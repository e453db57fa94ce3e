"""The wall to the disk: databases, blobs, spool, wake-ups. The only code that speaks SQL."""
