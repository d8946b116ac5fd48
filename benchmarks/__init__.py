"""What backup and restore cost, beside the tools an engineer would otherwise use, in the same run."""
