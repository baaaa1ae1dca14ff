"""Filter: judges mail. See app.py for how its parts are joined."""
