"""Running a listening test: the server and its database, the static page, the answers."""
