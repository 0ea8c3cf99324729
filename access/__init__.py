"""Refold's own domain `access`: who may use the API. It is configured by the setting `api_doors`, not by name."""
