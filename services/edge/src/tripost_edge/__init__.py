"""Edge: guards connections and protocols. See app.py for how its parts are joined."""
