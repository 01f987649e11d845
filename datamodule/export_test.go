package datamodule

// TileStarts is where tiles begin along a side.
func TileStarts(c TileConfig, side int) []int { return c.starts(side) }
