"""One module per step, named by number. A step that was released is never changed."""
