"""The shell: a page that leads to the pages of plugins, with its files and excluded paths."""
