"""HTTP exchanges with the services of applications: bounded, and tried again."""
