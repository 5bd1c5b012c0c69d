"""Makes packed data: what is drawn, how it is read, and how an interrupted packing goes on."""
