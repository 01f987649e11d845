package mlflow_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/mlflow/mlflowtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// A training is recorded by giving the trainer a Recorder as logger and callback:
//
//	wildtrain.NewTrainer(cfg, wildtrain.WithLoggers(track), wildtrain.WithCallbacks(track))
//
// Here its calls are made by hand.
func ExampleStart() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := mlflow.DefaultConfig()
	cfg.URI, cfg.Spool, cfg.Experiment = "sqlite:///"+filepath.Join(dir, "mlflow.db"), filepath.Join(dir, "spool"), "elephants"
	cfg.Params = map[string]string{"lr0": "0.01"}
	track, err := mlflow.Start(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	for epoch := range int64(3) {
		if err := track.Log(ctx, epoch+1, wildtrain.Value{Name: "AP50", Value: 0.1 * float64(epoch)}); err != nil {
			log.Print(err)
		}
	}
	track.End(nil)
	if err := track.Close(); err != nil {
		log.Fatal(err)
	}

	store, err := mlflow.Open(ctx, cfg.URI)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	e, err := store.ExperimentByName(ctx, "elephants")
	if err != nil {
		log.Fatal(err)
	}
	page, err := store.SearchRuns(ctx, mlflow.RunQuery{ExperimentIDs: []string{e.ID}, Query: mlflow.Query{Filter: "metrics.AP50 > 0.15 AND params.lr0 = '0.01'"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, run := range page.Items {
		best, _ := run.Data.Metric("AP50")
		fmt.Printf("%s AP50 %.1f\n", run.Info.Status, best)
	}
	// Output: FINISHED AP50 0.2
}

// A server for tests speaks MLflow's REST interface and can be made to fail.
func ExampleOpenREST() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := mlflowtest.New(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	connection, err := mlflow.DefaultConnection()
	if err != nil {
		log.Fatal(err)
	}
	store, err := mlflow.OpenREST(server.URL, connection)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := store.CreateRegisteredModel(ctx, "elephants", "finds elephants", nil); err != nil {
		log.Fatal(err)
	}
	v, err := store.CreateModelVersion(ctx, mlflow.NewModelVersion{Name: "elephants", Source: "s3://models/1"})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.SetAlias(ctx, v.Name, "champion", v.Version); err != nil {
		log.Fatal(err)
	}
	v, err = store.ModelVersionByAlias(ctx, "elephants", "champion")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Name, v.Version, v.Aliases)
	// Output: elephants 1 [champion]
}
