"""Seeds of the demo and the benchmarks: databases and files shaped like the real platforms', the same for one seed.

Plans (what there is) are pure and tell both the database rows and the stored objects, so that they always agree; the
modules that write take a connection or a store and are idempotent.
"""
