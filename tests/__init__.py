"""The tests; a package of this name comes with a library too, and is not meant."""
