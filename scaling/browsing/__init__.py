"""Listening to a pool in a browser: what is listed, which of it is asked for, favourites, and the server."""
