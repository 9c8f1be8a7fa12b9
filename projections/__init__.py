"""One file per read model: its row, its folds, its queries. Pure; all declared with `framework`."""
