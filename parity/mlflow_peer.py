"""MLflow's own client, for package mlflow's parity tests.

mlflow_peer.py script URI EXPERIMENT MODEL   makes the calls that the Go test makes, too
mlflow_peer.py dump URI EXPERIMENT MODEL     prints what is stored, without ids and times
mlflow_peer.py errors URI                    prints the error code of each wrong call
mlflow_peer.py write URI EXPERIMENT N        logs N metrics one by one, in one run
mlflow_peer.py upload URI EXPERIMENT FILE    stores a file and prints its run
mlflow_peer.py make FOLDER                   writes a small network as model.torchscript.pt and model.onnx, and prints its output
mlflow_peer.py load URI MODEL...             loads models and prints their output for the same input
mlflow_peer.py apply URI MODEL...            prints the outputs of models for the input of a JSON object {"shape", "values"} on standard input
"""
import json, math, os, sys

import mlflow
from mlflow.entities import DatasetInput, Dataset, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


def client(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def script(uri, experiment, model):
    c = client(uri)
    e = c.create_experiment(experiment, tags={"team": "north"})
    for i in range(4):
        r = c.create_run(e, start_time=1000 + i, run_name=f"run{i}", tags={"mlflow.user": "ada"})
        id = r.info.run_id
        metrics = [Metric("AP", [0.1, 0.5, float("nan"), 0.9][i], 100 + i, 0)]
        metrics += [Metric("loss", 3.0 / (s + 1), 200 + s, s) for s in range(5)]
        metrics += [Metric("inf", float("inf") if i % 2 else float("-inf"), 5, -1), Metric("loss", 9.0, 900, 2)]
        c.log_batch(id, metrics, [Param("lr", str(0.1 * (i + 1))), Param("model.name", f"yolo{i}")], [RunTag("note", "día %d" % i)])
        if i == 1:
            c.log_inputs(id, [DatasetInput(Dataset("savanna", "0a1b", "local", '{"uri": "x"}', "{}", "{}"), [InputTag("mlflow.data.context", "training")])])
        c.set_terminated(id, ["FINISHED", "FAILED", "KILLED", "FINISHED"][i], end_time=5000 + i)
        if i == 3:
            c.delete_run(id)
    c.create_registered_model(model, tags={"task": "detection"}, description="finds")
    for i in range(3):
        c.create_model_version(model, "s3://bucket/model", tags={"AP": str(i)}, description=f"version {i}")
    c.transition_model_version_stage(model, "1", "Production")
    c.transition_model_version_stage(model, "2", "Production", archive_existing_versions=True)
    c.set_registered_model_alias(model, "champion", "3")
    c.set_model_version_tag(model, "3", "why", "rain")
    c.delete_model_version(model, "1")


def number(v):
    return "NaN" if math.isnan(v) else v


def run(c, r):
    d = r.data
    return {
        "name": r.info.run_name, "status": r.info.status, "start": r.info.start_time, "end": r.info.end_time, "stage": r.info.lifecycle_stage,
        "metrics": {k: number(v) for k, v in d.metrics.items()}, "params": d.params, "tags": {k: v for k, v in d.tags.items() if not k.startswith("wildtrain.")},
        "inputs": [[i.dataset.name, i.dataset.digest, i.dataset.source, i.dataset.profile, {t.key: t.value for t in i.tags}] for i in r.inputs.dataset_inputs],
        "history": {k: [[m.step, m.timestamp, number(m.value)] for m in c.get_metric_history(r.info.run_id, k)] for k in sorted(d.metrics)},
    }


def dump(uri, experiment, model):
    c = client(uri)
    e = c.get_experiment_by_name(experiment)
    queries = ["", "metrics.AP > 0.05", "metrics.AP != 0.5", "params.lr = '0.2'", "tags.note LIKE 'd%'", "params.`model.name` ILIKE 'YOLO%'", "attributes.status = 'FINISHED'",
               "attributes.start_time > 1000", "datasets.name = 'savanna'", "run_name = 'run1'"]
    orders = [["metrics.AP DESC"], ["metrics.AP ASC"], ["params.lr DESC"], ["attributes.end_time ASC"]]
    names = lambda runs: [r.info.run_name for r in runs]
    m = c.get_registered_model(model)
    return {
        "experiment": [e.lifecycle_stage, dict(e.tags)],
        "runs": [run(c, r) for r in c.search_runs([e.experiment_id], run_view_type=ViewType.ALL, order_by=["attributes.start_time ASC"])],
        "queries": {q: names(c.search_runs([e.experiment_id], q)) for q in queries},
        "orders": {o[0]: names(c.search_runs([e.experiment_id], order_by=o)) for o in orders},
        "deleted": names(c.search_runs([e.experiment_id], run_view_type=ViewType.DELETED_ONLY)),
        "model": [m.description, dict(m.tags), dict(m.aliases)],
        "versions": [[v.version, v.current_stage, v.source, v.description, dict(v.tags), list(v.aliases), v.status]
                     for v in sorted(c.search_model_versions(f"name = '{model}'"), key=lambda v: int(v.version))],
        "champion": c.get_model_version_by_alias(model, "champion").version,
    }


def errors(uri):
    c = client(uri)
    e = c.create_experiment("errors")
    id = c.create_run(e).info.run_id
    c.log_param(id, "a", "1")
    from mlflow.utils.rest_utils import http_request
    creds = c._tracking_client.store.get_host_creds()

    def post(path, body, method="POST"):
        r = http_request(creds, "/api/2.0/mlflow/" + path, method, json=body, max_retries=0, raise_on_status=False)
        try:
            return [r.status_code, r.json().get("error_code", "")]
        except ValueError:
            return [r.status_code, ""]

    metric = {"key": "m", "value": 1, "timestamp": 1, "step": 0}
    calls = json.load(sys.stdin)
    return {name: post(c["path"], json.loads(json.dumps(c["body"]).replace("$RUN", id).replace("$EXP", e)), c["method"]) for name, c in calls.items()}


def write(uri, experiment, n):
    import time
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name="python") as r:
        begin = time.time()
        for i in range(int(n) // 10):
            mlflow.log_metrics({f"m{k}": float(i) for k in range(10)}, step=i)
        seconds = time.time() - begin
    return {"run_id": r.info.run_id, "per_second": int(n) / seconds}


def upload(uri, experiment, file):
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as r:
        mlflow.log_artifact(file, "from python")
    return {"run_id": r.info.run_id}


def example():
    import numpy as np
    return np.linspace(0, 1, 1 * 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)


def make(folder):
    import numpy as np, onnx, torch
    from onnx import TensorProto, helper, numpy_helper
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 6, 1).eval()
    for p in conv.parameters():
        p.requires_grad_(False)
    net = torch.nn.Sequential(conv, torch.nn.Sigmoid(), torch.nn.Flatten(2)).eval()
    x = torch.from_numpy(example())
    torch.jit.trace(net, x).save(os.path.join(folder, "model.torchscript.pt"))
    w, b = conv.weight.numpy(), conv.bias.numpy()
    shape = np.array([0, 6, -1], dtype=np.int64)
    g = helper.make_graph(
        [helper.make_node("Conv", ["images", "w", "b"], ["c"]), helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Reshape", ["s", "shape"], ["output"])], "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 8])], [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 6, 64])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b"), numpy_helper.from_array(shape, "shape")])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), os.path.join(folder, "model.onnx"))
    return net(x).numpy().ravel().tolist()


def load(uri, *models):
    return outputs(uri, example(), models)


def apply(uri, *models):
    import numpy as np
    x = json.load(sys.stdin)
    return outputs(uri, np.asarray(x["values"], dtype=np.float32).reshape(x["shape"]), models)


def outputs(uri, x, models):
    import numpy as np
    client(uri)
    out = {}
    for m in models:
        p = mlflow.pyfunc.load_model(m)
        y = p.predict(x)
        y = next(iter(y.values())) if isinstance(y, dict) else y
        out[m] = np.asarray(y).ravel().tolist()
    return out


if __name__ == "__main__":
    print(json.dumps({f.__name__: f for f in (script, dump, errors, write, upload, make, load, apply)}[sys.argv[1]](*sys.argv[2:]), sort_keys=True))
