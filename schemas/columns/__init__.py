"""Many records at once: bodies of one schema decoded as columns, checked as strictly as one by one."""
