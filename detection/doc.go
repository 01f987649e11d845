// Package detection holds object detectors as wildtrain.Models.
//
// YOLO builds YOLOv8, 11, 12 and 26 in all sizes, or an architecture file of the
// user's in the same YAML shape, with the parameter names of published weights.
// Sources: TOOD (Feng et al. 2021, arXiv 2108.07755) for the assigner,
// Generalized Focal Loss (Li et al. 2020, arXiv 2006.04388) for the distribution
// of box edges, Distance-IoU (Zheng et al. 2020, arXiv 1911.08287) for CIoU,
// YOLOv10 (Wang et al. 2024, arXiv 2405.14458) for position-sensitive attention.
package detection
