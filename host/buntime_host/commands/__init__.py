"""The commands of `buntime` other than `serve`."""
