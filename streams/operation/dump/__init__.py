"""The log as files: dumped while everything runs, checked, and restored record by record."""
