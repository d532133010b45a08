"""The half of a channel layer that holds normal channels: Kombu queues on the broker that Celery uses."""
