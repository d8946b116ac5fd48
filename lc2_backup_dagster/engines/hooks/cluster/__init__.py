"""Hooks that run in a Kubernetes cluster: in a pod of the application, or in a Job from its image."""
