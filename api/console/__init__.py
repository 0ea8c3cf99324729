"""The console: pages at `/console` for people who look before they read. It shows what the API shows, through the same functions."""
