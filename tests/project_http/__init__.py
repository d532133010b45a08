"""A site whose pages are served by workers: users, the admin, uploads, downloads, streams, and requests that wait."""
