"""What a study is: its file in `params/`, one run of it, and every path."""
