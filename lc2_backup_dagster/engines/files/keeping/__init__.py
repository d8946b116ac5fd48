"""Keep the files that rows of a dump name although the source no longer has them when it is listed."""
