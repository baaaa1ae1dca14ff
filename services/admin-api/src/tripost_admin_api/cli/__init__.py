"""The command tripost: a client of the REST API."""
