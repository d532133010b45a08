"""An installed application whose models are bound in tests."""
