"""`routellm` is another name for `ferroute`."""
