RECORD_SUFFIX = ".quick.json"  # Ends the name of the file beside the warehouse that record.py writes.
