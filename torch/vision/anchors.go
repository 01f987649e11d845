package vision

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
)

// Anchors are the boxes that a detector begins from: at every cell of every level
// one per ratio and size, centred on the cell's corner (Ren et al. 2015, arXiv
// 1506.01497, section 3.1).
type Anchors struct {
	Sizes     [][]float64 // per level: square roots of the boxes' areas in px
	Ratios    []float64   // height over width
	Unrounded bool        // corners relative to the centre stay as they are (MMDetection); else they are whole pixels
}

// PerCell is the number of anchors at a cell; all levels have as many.
func (a Anchors) PerCell() int64 { return int64(len(a.Ratios) * len(a.Sizes[0])) }

// cell are the anchors around the origin, ratio by ratio.
func (a Anchors) cell(level int) [][4]float32 {
	var out [][4]float32
	for _, ratio := range a.Ratios {
		h := float32(math.Sqrt(float64(float32(ratio))))
		w := 1 / h
		for _, size := range a.Sizes[level] {
			x, y := w*float32(size)/2, h*float32(size)/2
			if !a.Unrounded {
				x, y = float32(math.RoundToEven(float64(x))), float32(math.RoundToEven(float64(y)))
			}
			out = append(out, [4]float32{-x, -y, x, y})
		}
	}
	return out
}

// Grid returns the anchors of every level for pictures of height×width px whose
// feature maps are given: (h·w·PerCell, 4) each, row by row, cell by cell.
func (a Anchors) Grid(height, width int64, maps []*torch.Tensor) ([]*torch.Tensor, error) {
	if len(maps) != len(a.Sizes) {
		return nil, fmt.Errorf("vision: anchors: sizes for %d levels, %d maps", len(a.Sizes), len(maps))
	}
	out := make([]*torch.Tensor, len(maps))
	for l, m := range maps {
		rows, cols := m.Size(2), m.Size(3)
		if rows == 0 || cols == 0 {
			return nil, fmt.Errorf("vision: anchors: level %d has no cells", l)
		}
		cell := a.cell(l)
		stepY, stepX := height/rows, width/cols
		data := make([]float32, 0, int(rows*cols)*len(cell)*4)
		for r := range rows {
			for c := range cols {
				x, y := float32(c*stepX), float32(r*stepY)
				for _, b := range cell {
					data = append(data, x+b[0], y+b[1], x+b[2], y+b[3])
				}
			}
		}
		out[l] = torch.Of(m.Scope(), data, rows*cols*int64(len(cell)), 4)
	}
	return out, nil
}
