// Command detr counts the steps that our RT-DETR R18 needs to overfit the eight
// pictures that peer.py stored, from the same initial weights and by the same
// recipe: AdamW 3e-4, weight decay 1e-4 on matrices, clipping at 0.1, batches of
// four in a fixed order, denoising as published.
//
//	go run ./bench/detr FOLDER     # what peer.py wrote into
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/detr"
	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

const (
	batch = 4
	every = 10
	most  = 900
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: detr FOLDER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	data, err := load(filepath.Join(dir, "data.safetensors"))
	if err != nil {
		return err
	}
	m, err := model(filepath.Join(dir, "start.safetensors"), data.classes)
	if err != nil {
		return err
	}
	defer m.Close()
	cfg := wildtrain.DefaultOptimizer("AdamW")
	cfg.LR, cfg.Momentum, cfg.Beta2, cfg.WeightDecay = 3e-4, 0.9, 0.999, 1e-4
	o, err := m.Optimizer(cfg)
	if err != nil {
		return err
	}
	defer o.Close()
	begin := time.Now()
	for step := 1; step <= most; step++ {
		from := 0
		if step%2 == 0 {
			from = batch
		}
		l, err := m.TrainStep(ctx, data.part(from, from+batch), wildtrain.Step{Scale: 1})
		if err != nil {
			return err
		}
		if _, err := o.Step(wildtrain.Clip{Norm: 0.1}); err != nil {
			return err
		}
		o.ZeroGrad()
		if step%every != 0 {
			continue
		}
		score, err := ap50(ctx, m, data)
		if err != nil {
			return err
		}
		v, err := l.Values()
		if err != nil {
			return err
		}
		fmt.Printf("step %d loss %.3f AP50 %.3f %.0f s\n", step, v[0], score, time.Since(begin).Seconds())
		if score >= 0.5 {
			fmt.Println("reached at step", step)
			return nil
		}
	}
	return nil
}

func model(start string, classes []string) (*detr.Model, error) {
	if err := torch.ManualSeed(0); err != nil {
		return nil, err
	}
	weights, err := checkpoint.Open(start)
	if err != nil {
		return nil, err
	}
	defer weights.Close()
	c, err := detr.Default("rtdetr_r18vd", classes)
	if err != nil {
		return nil, err
	}
	c.Weights, c.BackboneRate = weights, 1
	return detr.New(c)
}

// pictures are what peer.py stored.
type pictures struct {
	classes []string
	pixels  wildtrain.Pixels
	samples []wildtrain.Sample
}

func load(path string) (*pictures, error) {
	f, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &pictures{}
	if err := json.Unmarshal([]byte(f.Metadata()["classes"]), &p.classes); err != nil {
		return nil, err
	}
	info, ok := f.Info("pixels")
	if !ok || len(info.Shape) != 4 {
		return nil, fmt.Errorf("%s: no pixels", path)
	}
	n, h, w := int(info.Shape[0]), int(info.Shape[1]), int(info.Shape[2])
	p.pixels = wildtrain.Pixels{N: n, Height: h, Width: w, Channels: 3, U8: make([]uint8, info.Elements())}
	if err := f.Read("pixels", p.pixels.U8); err != nil {
		return nil, err
	}
	rows, err := f.Float32("targets")
	if err != nil {
		return nil, err
	}
	for i := range n {
		p.samples = append(p.samples, wildtrain.Sample{ID: fmt.Sprint(i), Width: w, Height: h, Place: wildtrain.Identity})
	}
	for r := rows; len(r) >= 6; r = r[6:] {
		s := &p.samples[int(r[0])]
		side := func(i int, size int) float64 { return float64(r[i]) * float64(size) }
		o := wildtrain.Object{Class: int(r[1]), Box: wildtrain.BoxCXCYWH(side(2, w), side(3, h), side(4, w), side(5, h))}
		s.Objects, s.Truth = append(s.Objects, o), append(s.Truth, o)
	}
	return p, nil
}

// part is the pictures from one to another as a batch.
func (p *pictures) part(from, to int) *wildtrain.Batch {
	px := p.pixels
	size := px.Height * px.Width * px.Channels
	px.N, px.U8 = to-from, px.U8[from*size:to*size]
	return wildtrain.NewBatch(px, p.samples[from:to], nil)
}

func ap50(ctx context.Context, m *detr.Model, p *pictures) (float64, error) {
	metric, err := evaluate.NewDetection(evaluate.DefaultDetectionConfig(p.classes))
	if err != nil {
		return 0, err
	}
	found, err := m.Predict(ctx, p.part(0, len(p.samples)))
	if err != nil {
		return 0, err
	}
	if err := metric.Update(found, p.samples); err != nil {
		return 0, err
	}
	s, err := metric.Summary()
	if err != nil {
		return 0, err
	}
	score, _ := s.Values.Get("AP50")
	return score, nil
}
