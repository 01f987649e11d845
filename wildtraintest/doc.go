// Package wildtraintest tests implementations of the contracts of package
// wildtrain, and holds small real ones to test other code with.
//
// A conformance suite (TestLoader, TestDataModule, TestModel, TestOptimizer,
// TestState, TestSaver, TestMetric) states what the training loop relies on.
// Run it on your own implementation from an ordinary Go test. Each property is
// a subtest whose name says what is promised.
//
// Linear is a softmax regression that learns, Blobs the data for it, Memory a
// checkpoint store and Tensors a State; with them the loop is tested without
// libtorch.
package wildtraintest
