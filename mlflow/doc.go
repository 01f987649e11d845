// Package mlflow tracks trainings and keeps models the way MLflow does, without Python.
//
// A [Store] is one tracking and registry back end. [Open] takes MLflow's own
// addresses: sqlite:///FILE is a SQLite file in MLflow's own schema that
// `mlflow ui` and MLflow's Python client open, http(s)://HOST is a server of
// MLflow 2.x or 3.x. Without an address the environment decides (MLFLOW_TRACKING_URI),
// and without that sqlite:///mlflow.db with artifacts in ./mlruns, which is MLflow's own default.
//
//   - [Start] begins a run and returns a [Recorder], which is a wildtrain.Logger and a
//     wildtrain.Callback. Recording never blocks and never fails a training: values go through a
//     bounded queue to a spool on disk, and from there to the store. What a dead server
//     did not get is sent by [Sync] later.
//   - [Artifacts] reads and writes the files of runs and models: folders, the server's
//     artifact proxy, S3.
//   - [PackageModel] makes an MLmodel folder of trained weights, and [Registrar] (a
//     wildtrain.Registrar) turns it into a version of a registered model; [Promote],
//     [Compare], [Resolve] and [Download] work on what is registered.
//   - Package mlflowtest is a server in memory for tests.
//
// Times are milliseconds since 1970 as MLflow stores them. Errors that a store
// answers are of type *[Error]; [ErrNotFound] and [ErrExists] are found by errors.Is.
package mlflow
