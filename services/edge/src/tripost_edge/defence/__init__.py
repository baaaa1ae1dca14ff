"""What protects edge as a whole, over all sessions and replicas: bans, counts that replicas share, load."""
