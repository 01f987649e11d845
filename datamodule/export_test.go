package datamodule

import (
	"image"

	"github.com/wildtrain/sdk/wildtrain"
)

// TileStarts is where tiles begin along a side.
func TileStarts(c TileConfig, side int) []int { return c.starts(side) }

// Around is the window of a box.
func Around(c CropConfig, b wildtrain.Box, width, height int) image.Rectangle {
	return c.around(b, width, height)
}
