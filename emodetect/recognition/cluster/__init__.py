"""Photos on a Ray cluster: the list of photos, the workers that analyse them, the Parquet files."""
