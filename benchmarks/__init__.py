"""What `make bench` runs: how fast the study is, beside the plain way and the machine's limit."""
