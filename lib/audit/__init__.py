"""What besides the generator separates the classes."""
