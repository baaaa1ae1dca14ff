"""What logins are verified by, beside the hash of a password: for admin-api, which makes it, and domains."""
