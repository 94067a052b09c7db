"""Hold what is published of Headgate's output to what the code writes."""
