"""One's own pictures: a verdict with its map, how sure it is, and when nothing can be said."""
