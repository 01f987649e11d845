// Package jit writes models as TorchScript, which PyTorch loads without this SDK,
// and runs such files.
//
//	m = torch.jit.load("model.torchscript.pt")     # Python
//	m(images)                                      # float32 (N, 3, H, W), 0 to 1
//
// A model is recorded while it computes (torch.jit.trace in Python): the file
// holds plain ATen operations, parameters and buffers under the names of the
// model's state, and moves between devices as a whole. The size of the pictures
// is that of the recording. Their number is free: the model is recorded with one
// picture and with two, and each number that doubled becomes a multiple of the
// input's length; [Written] tells where that could not be.
package jit
