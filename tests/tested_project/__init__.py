"""A project with tests of its own, which our tests run by `manage.py test` and by pytest."""
