"""WAL: received as a stream, stored segment by segment, and handed to recovering servers."""
