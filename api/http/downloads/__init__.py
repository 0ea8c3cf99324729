"""Downloads: any number of rows of one snapshot, as CSV, JSON lines, Arrow, Parquet or XLSX, in bounded memory."""
