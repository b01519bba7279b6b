"""Models of other systems as model folders, and back: names, sizes, and nothing executed."""
