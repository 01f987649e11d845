// Package rcnn builds Faster R-CNN, Mask R-CNN and Cascade R-CNN as
// pyramid.Detectors, with torchvision's names and parameter keys, or by
// MMDetection's conventions under its names.
//
// Sources: Ren et al. 2015 (arXiv 1506.01497), He et al. 2017 (1703.06870), Cai
// and Vasconcelos 2018 (1712.00726), Lin et al. 2017 (1612.03144), Li et al. 2021
// (2111.11429) for the deep heads.
package rcnn
