"""hrdet beside its peers: the same work, in turn, in one call.  See README.md."""
