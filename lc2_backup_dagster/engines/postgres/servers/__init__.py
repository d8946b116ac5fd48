"""PostgreSQL servers: connections, what they say of themselves, own processes, and PostgreSQL's programs."""
