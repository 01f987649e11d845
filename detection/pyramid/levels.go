package pyramid

import "github.com/wildtrain/sdk/torch"

// Rows sees head outputs (N, A·k, H, W) as (N, H·W·A, k): one row per anchor, in
// the order of vision.Anchors.
func Rows(x *torch.Tensor, k int64) *torch.Tensor {
	n, c, h, w := x.Size(0), x.Size(1), x.Size(2), x.Size(3)
	return x.View(n, c/k, k, h, w).Permute(0, 3, 4, 1, 2).Reshape(n, -1, k)
}

// Indices makes an Int64 tensor of indices.
func Indices(s *torch.Scope, at []int64) *torch.Tensor { return torch.Of(s, at, int64(len(at))) }
