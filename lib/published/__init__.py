"""The paper's tables and its authors' epoch logs."""
