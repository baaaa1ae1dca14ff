"""Client control: which rule decides about mail, and how much of it may pass. Pure."""
