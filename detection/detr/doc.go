// Package detr holds the detection transformers: DETR (Carion et al. 2020, arXiv
// 2005.12872), Deformable DETR (Zhu et al. 2021, arXiv 2010.04159) with box
// refinement and two stages, and RT-DETR (Zhao et al. 2024, arXiv 2304.08069)
// with the denoising queries of DINO (Zhang et al. 2023, arXiv 2203.03605).
//
// They answer with a set: each of a fixed number of queries gives the logits of
// the classes and one box, and training matches queries with objects one to one.
// There are no anchors to tune and nothing to suppress afterwards.
//
// Parameters have the names of the authors' own repositories; weights of the
// transformers library load too, see Config.
package detr
