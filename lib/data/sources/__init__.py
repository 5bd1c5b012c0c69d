"""Where one class's pictures come from: each source lists pictures by name and reads them."""
