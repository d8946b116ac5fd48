"""The sites of the demo: what each application needs to come to life. ``all_sites`` lists them."""
