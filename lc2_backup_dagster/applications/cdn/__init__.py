"""The CDN before an application, told of what it must not serve from its cache any more."""
