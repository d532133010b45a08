#!/usr/bin/env python
"""Django's command line, for any working directory: `python example_site/manage.py <command>`."""

import os
import sys
from pathlib import Path


def main() -> None:
    # Python put this script's own folder first, where `import celery` would find celery.py of this project.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_site.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
