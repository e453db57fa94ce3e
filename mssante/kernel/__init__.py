"""The shared words: identifiers, addresses, reasons, clock, events. No I/O, no dependency."""
