"""Other projects, run beside this one from an environment of their own: nothing here but `environment` imports ours."""
