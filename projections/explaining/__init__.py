"""Why a row is as it is: the events behind it, found in the log, and what each of them changed in which column."""
