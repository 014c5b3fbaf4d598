"""One file for each neighbour; imported when it is met."""
