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

// WindowBoxes are the windows of a picture of the given size.
func WindowBoxes(c WindowConfig, width, height int) (out []wildtrain.Box) {
	for _, w := range c.of(Record{Width: width, Height: height}) {
		out = append(out, wildtrain.BoxXYWH(float64(w.x), float64(w.y), float64(w.width), float64(w.height)))
	}
	return out
}
