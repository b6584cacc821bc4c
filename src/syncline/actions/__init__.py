"""One function per intention of a person: what a command, an API call and a button share."""
