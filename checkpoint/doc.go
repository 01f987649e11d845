// Package checkpoint keeps weights and runs on disk.
//
// Three things stand here, all in pure Go:
//
//   - Open reads a weights file as a read-only [wildtrain.State]: safetensors
//     (memory-mapped) and what PyTorch's torch.save writes (.pt, .pth, .ckpt;
//     zip and pre-1.6 formats; state dicts, nested forms and whole pickled
//     modules). Pickles are interpreted by a small machine of our own that
//     executes nothing: classes outside an allow-list are refused, the others
//     become inert values. [Fill] copies such a set into a live model.
//   - Export writes a State as .safetensors, or as a .pt that
//     torch.load(weights_only=True) opens.
//   - Run is a run's folder. It implements [wildtrain.Saver] and
//     [wildtrain.Resumer]: every save replaces the checkpoint of its name as a
//     whole or not at all, whatever happens to the process meanwhile.
//
// Data is little-endian, contiguous and row-major everywhere. Files are not
// trusted: sizes, offsets, shapes and nesting are checked before use, and
// every error names the file and the entry.
package checkpoint
