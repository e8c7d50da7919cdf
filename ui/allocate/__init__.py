"""The Allocate page: proposals, search, transfer, combine."""
