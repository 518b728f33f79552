"""One question a file; `interp list` prints them."""
