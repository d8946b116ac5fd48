"""Acquia Drupal: a PostgreSQL database, public and private files, configuration that ``drush`` exports."""
