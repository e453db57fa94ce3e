"""How mail clients set themselves up: one operator's servers in the formats that clients read."""
