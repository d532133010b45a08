"""Celery's settings, read by `app.config_from_object("celeryconfig")`."""

import os

# Where channel messages queue up. memory:// lives in one process: right for a demo, useless for a worker beside it.
broker_url = os.environ.get("CELERY_BROKER_URL") or "memory://localhost/"

# A worker that starts before its broker waits for it instead of giving up.
broker_connection_retry_on_startup = True

# Kombu's memory transport looks for messages once a second unless told otherwise.
if broker_url.startswith("memory://"):
    broker_transport_options = {"polling_interval": 0.01}

# Tasks travel as JSON only: unpickling runs whatever the sender wants to be run.
accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"

# A consumer answers through channels; nobody reads a task's result.
task_ignore_result = True

# Don't reserve long runs of tasks for one process while the others are idle.
worker_prefetch_multiplier = 1
