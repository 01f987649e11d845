// Package dense builds detectors of one stage, RetinaNet and FCOS, as
// pyramid.Detectors, with torchvision's names and parameter keys; RetinaNet by
// MMDetection's conventions too, under its name.
//
// Sources: Lin et al. 2017 (arXiv 1708.02002), Tian et al. 2019 (1904.01355 and
// 2006.09214 for centre sampling and the loss of boxes), Zhang et al. 2020
// (1912.02424) for RetinaNet's second form.
package dense
