"""A class's grades: on a terminal, and as files that teachers' other programs read."""
