package rle

// Writer makes a mask of runs of pixels, which are numbered down the columns of
// the picture. The zero value is ready.
type Writer struct {
	runs []uint32
	end  int // first pixel after the last run
}

// Add sets the pixels from … to−1. Calls must be in rising order.
func (w *Writer) Add(from, to int) {
	if to <= from {
		return
	}
	if n := len(w.runs); n > 0 && from == w.end {
		w.runs[n-1] += uint32(to - from)
	} else {
		w.runs = append(w.runs, uint32(from-w.end), uint32(to-from))
	}
	w.end = to
}

// Empty reports whether no pixel is set.
func (w *Writer) Empty() bool { return len(w.runs) == 0 }

// Mask is what was written, as a mask of height × width pixels.
func (w *Writer) Mask(height, width int) *Mask {
	runs := w.runs
	if rest := height*width - w.end; rest > 0 {
		runs = append(runs, uint32(rest))
	}
	return &Mask{Height: height, Width: width, Runs: runs}
}
