"""What the verdicts come to: tables, claims, the effects of quirks."""
