package optim

// Scaler finds the factor by which a loss is multiplied so that float16
// gradients neither vanish nor overflow (Micikevicius et al. 2018): it grows
// after a run of finite steps and backs off after a non-finite one, with the
// constants of torch.amp.GradScaler.
type Scaler struct {
	Growth   float64 // factor after Interval finite steps
	Backoff  float64 // factor after a non-finite step
	Interval int64
	scale    float64
	finite   int64 // finite steps since the scale changed
}

// NewScaler returns a scaler at 2¹⁶ that doubles after 2,000 finite steps and
// halves after a non-finite one.
func NewScaler() *Scaler {
	return &Scaler{Growth: 2, Backoff: 0.5, Interval: 2000, scale: 1 << 16}
}

// Scale is the present factor.
func (s *Scaler) Scale() float64 { return s.scale }

// Update takes note of a step.
func (s *Scaler) Update(finite bool) {
	if !finite {
		s.scale *= s.Backoff
		s.finite = 0
		return
	}
	s.finite++
	if s.finite == s.Interval {
		// PyTorch keeps the scale in float32 and does not let it overflow
		if grown := s.scale * s.Growth; grown <= maxFloat32 {
			s.scale = grown
		}
		s.finite = 0
	}
}

const maxFloat32 = 0x1p127 * (1 + (1 - 0x1p-23))
