"""Configuration and directory changes: from the database to the tiers."""
