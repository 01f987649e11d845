package datamodule

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

type clusterCase struct {
	K                         int
	Start                     [][]float64
	Labels                    []int
	Inertia, Silhouette, Best float64
	BestSilhouette            float64 `json:"best_silhouette"`
}

func clusterGoldens(t *testing.T) (points [][]float32, cases []clusterCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/clusters.json")
	require.NoError(t, err)
	var v struct {
		Points [][]float32
		Cases  []clusterCase
	}
	require.NoError(t, json.Unmarshal(data, &v))
	require.Len(t, v.Cases, 5)
	return v.Points, v.Cases
}

func TestKMeansEqualsScikitLearn(t *testing.T) {
	points, cases := clusterGoldens(t)
	all := DefaultClusters()
	all.Silhouette, all.Starts = 0, 20
	for _, c := range cases {
		got := lloyd(points, c.Start, 300)
		assert.Equal(t, c.Labels, got.Labels, "k=%d", c.K)
		assert.InEpsilon(t, c.Inertia, got.Inertia, 1e-6)
		assert.InDelta(t, c.Silhouette, silhouette(points, c.Labels, c.K, all), 1e-6)
		// From our own starts: not looser than the best of as many of the peer's.
		assert.LessOrEqual(t, kMeans(points, c.K, all).Inertia, c.Best*1.01, "k=%d", c.K)
	}
}

// The number of clusters is that of the peer's best silhouette, and as many
// samples are kept as were asked for, each cluster's share of them.
func TestClusterChoosesTheNumber(t *testing.T) {
	points, cases := clusterGoldens(t)
	best := cases[0]
	for _, c := range cases {
		if c.BestSilhouette > best.BestSilhouette {
			best = c
		}
	}
	cfg := DefaultClusters()
	cfg.Clusters, cfg.Starts = []int{2, 3, 5, 7, 9}, 20
	got, err := Cluster(points, cfg)
	require.NoError(t, err)
	assert.Len(t, got.Centres, best.K)
	assert.InDelta(t, best.BestSilhouette, got.Silhouettes[best.K], 1e-3)
	assert.Len(t, got.Kept, 51, "three tenths of 170")
	sizes, kept := make([]float64, best.K), make([]float64, best.K)
	for _, k := range got.Labels {
		sizes[k]++
	}
	for _, i := range got.Kept {
		kept[got.Labels[i]]++
	}
	for k := range sizes {
		assert.InDelta(t, 0.3*sizes[k], kept[k], 1)
	}
	again, err := Cluster(points, cfg)
	require.NoError(t, err)
	assert.Equal(t, got, again)
}

// Of a cluster some are kept from the middle and some from the edge.
func TestClusterKeepsNearAndFar(t *testing.T) {
	var points [][]float32
	for i := range 100 {
		points = append(points, []float32{float32(i * i)})
	}
	cfg := DefaultClusters()
	cfg.Clusters, cfg.Keep = []int{1}, 0.1
	got, err := Cluster(points, cfg)
	require.NoError(t, err)
	require.Len(t, got.Kept, 10)
	var bins [10]int
	for _, i := range got.Kept {
		nearer := 0
		for _, d := range got.Distances {
			if d < got.Distances[i] {
				nearer++
			}
		}
		bins[nearer/10]++
	}
	assert.Equal(t, [10]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, bins)
}

func TestClusterOfFewAndBad(t *testing.T) {
	got, err := Cluster([][]float32{{1}, {2}}, DefaultClusters())
	require.NoError(t, err)
	assert.Len(t, got.Kept, 1)
	same := [][]float32{{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}
	got, err = Cluster(same, DefaultClusters())
	require.NoError(t, err)
	assert.Len(t, got.Kept, 2)
	_, err = Cluster(nil, DefaultClusters())
	assert.ErrorIs(t, err, wildtrain.ErrEmpty)
	_, err = Cluster([][]float32{{1}, {1, 2}}, DefaultClusters())
	assert.ErrorContains(t, err, "sample 1 has an embedding of 2 numbers, the first has 1")
	_, err = Cluster([][]float32{{1}, {float32(math.NaN())}}, DefaultClusters())
	assert.ErrorContains(t, err, "sample 1 is not finite")
	_, err = Cluster(same, ClusterConfig{Clusters: []int{0}})
	for _, want := range []string{"keep is 0", "cannot make 0 clusters", "starts is 0", "iterations is 0"} {
		assert.ErrorContains(t, err, want)
	}
}

// meanColour embeds by the mean of a picture.
type meanColour struct{}

func (meanColour) Embed(_ context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	var out []wildtrain.Prediction
	size := len(b.Pixels.U8) / b.Len()
	for i, s := range b.Samples {
		sum := 0
		for _, v := range b.Pixels.U8[i*size : (i+1)*size] {
			sum += int(v)
		}
		out = append(out, wildtrain.Prediction{ID: s.ID, Embedding: []float32{float32(sum) / float32(size)}})
	}
	return out, nil
}

type oneBatch struct{ b *wildtrain.Batch }

func (l oneBatch) Len() int { return 1 }

func (l oneBatch) Batches(context.Context) iter.Seq2[*wildtrain.Batch, error] {
	return func(yield func(*wildtrain.Batch, error) bool) { yield(l.b, nil) }
}

func TestEmbeddings(t *testing.T) {
	p, samples := levels(3)
	for i := range samples {
		samples[i].ID = string(rune('a' + i))
	}
	released := false
	ids, embeddings, err := Embeddings(t.Context(), oneBatch{wildtrain.NewBatch(p, samples, func() { released = true })}, meanColour{})
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c"}, ids)
	assert.Equal(t, [][]float32{{0}, {50}, {100}}, embeddings)
	assert.True(t, released)
}
