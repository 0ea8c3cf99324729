"""The doors of the API: who asks, what the request needs, and whether the asker may. Everything behind them knows the answer."""
