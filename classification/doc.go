// Package classification holds image classifiers as wildtrain.Models.
//
// New builds a Classifier of any architecture of package backbone, with the
// architecture's own linear head or a small MLP, for one class per picture, for
// several (multi-label), with a hierarchy above the classes (species, genus,
// group) and with background as a class. What is needed to use the model again
// (classes, input size and statistics, head, hierarchy, temperature) travels in
// its Description, which every save carries; Restore reads it back.
//
// Sources: focal loss (Lin et al. 2017, arXiv 1708.02002), class-balanced loss
// (Cui et al. 2019, arXiv 1901.05555), label smoothing (Szegedy et al. 2016,
// arXiv 1512.00567), temperature scaling (Guo et al. 2017, arXiv 1706.04599),
// Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), occlusion maps (Zeiler and
// Fergus 2014, arXiv 1311.2901), gradual unfreezing (Howard and Ruder 2018, arXiv
// 1801.06146), k-NN evaluation (Caron et al. 2021, arXiv 2104.14294).
package classification
