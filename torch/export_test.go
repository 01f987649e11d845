package torch

// DeformableByGrid is the form of DeformableAttention that GPUs take.
var DeformableByGrid = deformableByGrid
