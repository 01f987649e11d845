package evaluate_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/wildtrain/sdk/evaluate"
	"github.com/wildtrain/sdk/wildtrain"
)

// A detector found one of two zebras, and one that is not there.
func ExampleDetection() {
	d, err := evaluate.NewDetection(evaluate.DefaultDetectionConfig([]string{"zebra"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	zebra := func(x, score float64) wildtrain.Object {
		return wildtrain.Object{Box: wildtrain.BoxXYWH(x, 10, 40, 30), Score: score}
	}
	err = d.Update(
		[]wildtrain.Prediction{{ID: "a.jpg", Objects: []wildtrain.Object{zebra(100, 0.9), zebra(300, 0.4)}}},
		[]wildtrain.Sample{{ID: "a.jpg", Truth: []wildtrain.Object{zebra(100, 0), zebra(200, 0)}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, _ := d.Summary()
	for _, name := range []string{"AP", "precision", "recall"} {
		v, _ := s.Values.Get(name)
		fmt.Printf("%s %.3f\n", name, v)
	}
	counts, _ := d.Counting(evaluate.DefaultCounting())
	fmt.Println("there", counts[0].Truth, "found", counts[0].Found)
	// Output:
	// AP 0.505
	// precision 0.500
	// recall 0.500
	// there 2 found 2
}

// Files alone: COCO annotations and a COCO results list.
func ExampleCOCO() {
	gt := `{"images":[{"id":1}],"categories":[{"id":7,"name":"kudu"}],"annotations":[{"image_id":1,"category_id":7,"bbox":[0,0,50,50]}]}`
	dt := `[{"image_id":1,"category_id":7,"bbox":[0,0,50,40],"score":0.8}]`
	s, err := evaluate.COCO(strings.NewReader(gt), strings.NewReader(dt), evaluate.DefaultDetectionConfig(nil), evaluate.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	b, _ := json.Marshal(s.Values[6:9])
	fmt.Println(string(b))
	// Output:
	// {"AR1":0.7,"AR10":0.7,"AR100":0.7}
}

// Predicted classes against true ones, both as CSV: one of three is wrong.
func ExampleClassificationCSV() {
	truth := "id,label\n1,kudu\n2,zebra\n3,kudu\n"
	said := "id,kudu,zebra\n1,0.9,0.1\n2,0.4,0.6\n3,0.3,0.7\n"
	s, err := evaluate.ClassificationCSV(strings.NewReader(truth), strings.NewReader(said), evaluate.DefaultClassification(nil), evaluate.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"accuracy", "balanced_accuracy", "ECE"} {
		v, _ := s.Values.Get(name)
		fmt.Printf("%s %.3f\n", name, v)
	}
	fmt.Println(s.Confusion.Counts)
	// Output:
	// accuracy 0.667
	// balanced_accuracy 0.750
	// ECE 0.400
	// [[1 1] [0 1]]
}
