"""Admin-api: REST, and the command line that is its client. See app.py for how its parts are joined."""
