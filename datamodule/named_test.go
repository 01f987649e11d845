package datamodule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

const (
	vocHead   = "<?xml version=\"1.0\"?>\r\n<annotation>\n<filename>a.jpg</filename>\n<size><width>40</width><height>30</height><depth>3</depth></size>\n"
	vocObject = "<object><name>zebra</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>11</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>\n" +
		"<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part></object>\n"
	table  = "file,class,x1,y1,x2,y2\n"
	result = `{"id":"r1","type":"rectanglelabels","original_width":40,"original_height":30,"image_rotation":0,"value":{"x":25,"y":50,"width":50,"height":40,"rotation":0,"rectanglelabels":["zebra"]}}`
)

// voc makes a devkit folder: a.jpg with what is given, b.jpg with nothing, both in train.
func voc(t testing.TB, a string) tree {
	return newTree(t).jpeg("JPEGImages/a.jpg", 40, 30).jpeg("JPEGImages/b.jpg", 40, 30).
		write("Annotations/a.xml", a).write("Annotations/b.xml", "<annotation/>").
		write("ImageSets/Main/train.txt", "a\r\nb\r\n").write("ImageSets/Main/zebra_train.txt", "a  1\nb -1\n")
}

// studio makes a folder with one export of the given tasks, one a line from line 2 on.
func studio(t testing.TB, tasks string) tree {
	return newTree(t).jpeg("images/train/a.jpg", 40, 30).jpeg("images/b c.jpg", 40, 30).write("train.json", "[\n"+tasks+"\n]\n")
}

func task(id int, image, results string) string {
	return fmt.Sprintf(`{"id":%d,"data":{"image":%q},"annotations":[{"id":1,"was_cancelled":false,"result":[%s]}]}`, id, image, results)
}

func csvTree(t testing.TB, text string) tree {
	return newTree(t).jpeg("a.jpg", 40, 30).jpeg("images/train/b.jpg", 40, 30).write("train.csv", text)
}

// Every format says the same of two pictures, found without being told which format it is.
func TestNamedSources(t *testing.T) {
	zebra := wildtrain.Box{X1: 10, Y1: 15, X2: 30, Y2: 27}
	impala := wildtrain.Box{X1: 1, Y1: 2, X2: 11.5, Y2: 12}
	vocText := vocHead + `<object><name>zebra</name><bndbox><xmin>11</xmin><ymin>16</ymin><xmax>30</xmax><ymax>27</ymax></bndbox></object>
<object><name> impala </name><difficult>0</difficult><bndbox><xmin>2.0</xmin><ymin>3</ymin><xmax>11.5</xmax><ymax>12</ymax></bndbox></object></annotation>`
	impalaResult := `{"type":"rectanglelabels","value":{"x":2.5,"y":6.666666666666667,"width":26.25,"height":33.333333333333336,"rotation":0,"rectanglelabels":["impala"]}}`
	for name, tr := range map[string]tree{
		"voc":             voc(t, vocText),
		"voc per split":   newTree(t).jpeg("train/a.jpg", 40, 30).jpeg("train/b.jpg", 40, 30).write("train/a.xml", vocText).write("train/b.xml", "<annotation/>"),
		"csv corners":     csvTree(t, table+"a.jpg,zebra,10,15,30,27\r\n\"a.jpg\", impala ,1,2,11.5,12\r\nb.jpg,,,,,\r\n"),
		"csv sizes, BOM":  csvTree(t, "\ufeffclass,h,w,y,x,path,note\nzebra,12,20,15,10,a.jpg,\"one\ntwo\"\nimpala,10,10.5,2,1,./a.jpg,\n,,,,,images/train/b.jpg,\n"),
		"csv with splits": csvTree(t, "filename,width,height,class,xmin,ymin,xmax,ymax,split\na.jpg,40,30,zebra,10,15,30,27,train\na.jpg,40,30,impala,1,2,11.5,12,train\nb.jpg,40,30,,,,,,train\na.jpg,40,30,zebra,1,1,2,2,val\n"),
		"label studio":    studio(t, task(1, "/data/upload/3/0123abcd-a.jpg", result+","+impalaResult)+",\n"+task(2, "/data/local-files/?d=far/away/images/b%20c.jpg", `{"type":"choices","value":{"choices":["x"]}}`)),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := setup(tr.config(), wildtrain.Train)
			require.NoError(t, err)
			assert.Equal(t, []string{"impala", "zebra"}, names(d))
			records := d.Records(wildtrain.Train)
			require.Len(t, records, 2)
			assert.Empty(t, records[1].Objects, "a negative")
			require.Len(t, records[0].Objects, 2)
			for i, want := range []wildtrain.Object{{Box: zebra, Class: 1}, {Box: impala}} {
				got := records[0].Objects[i]
				assert.Equal(t, want.Class, got.Class)
				for k, v := range [4]float64{got.Box.X1 - want.Box.X1, got.Box.Y1 - want.Box.Y1, got.Box.X2 - want.Box.X2, got.Box.Y2 - want.Box.Y2} {
					assert.InDelta(t, 0, v, 1e-9, "side %d of %v", k, got.Box)
				}
			}
			assert.Empty(t, d.Report(wildtrain.Train).Problems)
		})
	}
}

func TestVOCQuirks(t *testing.T) {
	tr := voc(t, vocHead+vocObject+"</annotation>")
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, []wildtrain.Object{{Box: wildtrain.Box{X1: 0, Y1: 10, X2: 40, Y2: 30}, Difficult: true}}, d.Records(wildtrain.Train)[0].Objects, "parts don't count")
	assert.Equal(t, []string{"train"}, d.Splits(), "the devkit's list of one class is no split")

	// Without lists all is train; a picture nobody annotated is not taken for an empty one.
	tr = newTree(t).jpeg("JPEGImages/a.jpg", 40, 30).jpeg("JPEGImages/c.jpg", 40, 30).write("Annotations/a.xml", vocHead+vocObject+"</annotation>")
	d, err = setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	require.Len(t, d.Records(wildtrain.Train), 1)
	require.Len(t, d.Report(wildtrain.Train).Problems, 1)
	assert.Equal(t, tr.path("JPEGImages/c.jpg")+": picture without an XML file; it is not used", d.Report(wildtrain.Train).Problems[0].String())

	// A stale file name: the picture of the same name counts.
	tr = voc(t, vocHead+vocObject+"</annotation>").write("Annotations/b.xml", vocHead+"</annotation>")
	d, err = setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, tr.path("JPEGImages/b.jpg"), d.Records(wildtrain.Train)[1].Path)
}

func TestLabelStudioQuirks(t *testing.T) {
	other := `{"id":"r2","type":"polygonlabels","value":{"points":[[10,20],[30,40],[20,50]],"polygonlabels":["kudu"]},"meta":{"text":["crowd"]}}`
	annotations := func(list string) string {
		return `{"id":1,"data":{"image":"s3://bucket/x/images/train/a.jpg?y=1","note":"n"},"annotations":[` + list + `],"predictions":[{"result":[1,2]}]}`
	}
	for name, list := range map[string]string{
		"ground truth":      `{"ground_truth":true,"created_at":"2020-01-01","result":[` + other + `]},{"created_at":"2024-01-01","result":[` + result + `]}`,
		"newest":            `{"created_at":"2024-01-02","result":[` + other + `]},{"created_at":"2024-01-01","result":[` + result + `]}`,
		"cancelled is left": `{"was_cancelled":true,"created_at":"2025-01-02","result":[` + result + `]},{"result":[` + other + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			d, err := setup(studio(t, annotations(list)).config(), wildtrain.Train)
			require.NoError(t, err)
			objects := d.Records(wildtrain.Train)[0].Objects
			require.Len(t, objects, 1)
			assert.True(t, objects[0].Crowd)
			assert.InDelta(t, 12, objects[0].Box.X2, 1e-9)
			assert.InDelta(t, 15, objects[0].Box.Y2, 1e-9)
		})
	}
	tr := studio(t, task(1, "a.jpg", result)+`,{"id":2,"data":{"image":"b c.jpg"},"annotations":[]}`)
	c := tr.config()
	c.Root = tr.path("train.json")
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Len(t, d.Records(wildtrain.Train), 1)
	require.Len(t, d.Report(wildtrain.Train).Problems, 1)
	assert.Contains(t, d.Report(wildtrain.Train).Problems[0].String(), "train.json:2: task 2 is not annotated")
}

func TestBadNamedSources(t *testing.T) {
	turned := func(old, new string) string { return task(1, "a.jpg", replaceOnce(t, result, old, new)) }
	object := func(old, new string) string { return vocHead + replaceOnce(t, vocObject, old, new) + "</annotation>" }
	for _, tt := range []struct {
		name string
		tree tree
		want []string
	}{
		{"voc cut off", voc(t, vocHead+"<object>"), []string{"Annotations/a.xml:", "not valid VOC XML"}},
		{"voc empty", voc(t, ""), []string{"a.xml:1: not valid VOC XML: the file ends in the middle"}},
		{"voc of another kind", voc(t, "<html></html>"), []string{"a.xml:1: not valid VOC XML: the file must hold an annotation"}},
		{"voc encoding", voc(t, `<?xml version="1.0" encoding="gbk"?><annotation/>`), []string{"a.xml:1: ", `encoding "gbk": save it as UTF-8`}},
		{"voc without name", voc(t, object("zebra", " ")), []string{"a.xml:5: object 1 has no name"}},
		{"voc NaN", voc(t, object("<xmin>1", "<xmin>NaN")), []string{`a.xml:5: object 1: bndbox: "NaN" is not a finite number`}},
		{"voc flag", voc(t, object("<difficult>1", "<difficult>maybe")), []string{`a.xml:5: object 1: difficult or iscrowd: "maybe" is neither 0 nor 1`}},
		{"voc rotated", voc(t, object("<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>", "<robndbox/>")), []string{"a.xml:5: object 1 has no bndbox"}},
		{"voc reversed", voc(t, object("<xmax>40", "<xmax>-4")), []string{"a.xml:5: object 1: box is empty"}},
		{"voc size", voc(t, replaceOnce(t, vocHead, "<width>40", "<width>41")+vocObject+"</annotation>"), []string{"a.xml:1: the annotations say 41×30"}},
		{"voc list", voc(t, vocHead+vocObject+"</annotation>").write("ImageSets/Main/train.txt", "a\nz\n"), []string{`train.txt:2: annotations of "z" are not there`}},
		{"voc list outside", voc(t, vocHead+vocObject+"</annotation>").write("ImageSets/Main/train.txt", "a\n../../z\n"), []string{"train.txt:2: path", "leaves the root folder"}},

		{"csv empty", csvTree(t, ""), []string{"train.csv:1: the table is empty"}},
		{"csv without header", csvTree(t, "a.jpg,zebra,1,2,3,4\n"), []string{"train.csv:1: the header must name the columns"}},
		{"csv with semicolons", csvTree(t, "file;class;x1;y1;x2;y2\n"), []string{"train.csv:1: the header must name", "separated by commas"}},
		{"csv of both kinds", csvTree(t, "file,class,x1,y1,x2,y2,x,y,w,h\n"), []string{"which are the boxes?"}},
		{"csv column twice", csvTree(t, "file,class,label,x,y,w,h\n"), []string{`columns "class" and "label" both are the class`}},
		{"csv short row", csvTree(t, table+"a.jpg,zebra,1,2,3,4\na.jpg,zebra,1,2,3\n"), []string{"train.csv:3: row has 5 fields, the header has 6"}},
		{"csv number", csvTree(t, table+"a.jpg,zebra,1,2,3,inf\n"), []string{`train.csv:2: "inf" is not a finite number`}},
		{"csv quote", csvTree(t, table+"a.jpg,\"zebra,1,2,3,4\n"), []string{"train.csv:2: not a valid table"}},
		{"csv class missing", csvTree(t, table+"a.jpg,,1,2,3,4\n"), []string{"train.csv:2: the row has a box and no class"}},
		{"csv picture missing", csvTree(t, table+"z.jpg,zebra,1,2,3,4\n"), []string{`train.csv:2: picture "z.jpg" is not there`}},
		{"csv outside", csvTree(t, table+"../../../../z.jpg,zebra,1,2,3,4\n"), []string{"train.csv:2: path", "leaves the root folder"}},
		{"csv empty box", csvTree(t, table+"a.jpg,zebra,5,2,5,4\n"), []string{"train.csv:2: box: box is empty"}},
		{"csv two sizes", csvTree(t, "file,class,x,y,w,h,width,height\na.jpg,z,1,1,5,5,40,30\na.jpg,z,1,1,5,6,30,40\n"), []string{"train.csv:3: the picture is 30×40 here and 40×30 in line 2"}},

		{"tasks cut off", studio(t, task(1, "a.jpg", result)+","), []string{"train.json:", "not a valid Label Studio export"}},
		{"box turned", studio(t, turned(`"rotation":0,"rect`, `"rotation":30,"rect`)), []string{"train.json:2: task 1: result r1: it is turned by 30°"}},
		{"picture turned", studio(t, turned(`"image_rotation":0`, `"image_rotation":90`)), []string{"train.json:2: task 1: result r1: ", "its picture by 90°"}},
		{"two labels", studio(t, turned(`["zebra"]`, `["zebra","kudu"]`)), []string{"it has 2 labels, must have 1"}},
		{"no width", studio(t, turned(`"width":50,`, ``)), []string{"x, y, width, height or points are missing"}},
		{"pixels", studio(t, turned(`"x":25`, `"x":250`)), []string{"must be percent of the picture's sides"}},
		{"other size", studio(t, turned(`"original_width":40`, `"original_width":30`)), []string{"train.json:2: the annotations say 30×30"}},
		{"brush", studio(t, turned(`"type":"rectanglelabels"`, `"type":"brushlabels"`)), []string{"of type brushlabels"}},
		{"no task picture", studio(t, task(1, "/data/upload/1/z.jpg", result)), []string{"train.json:2: task 1: picture", "is not there"}},
		{"task twice", studio(t, task(1, "a.jpg", result)+",\n"+task(2, "a.jpg", result)), []string{"train.json:3: task 2: picture", "has a task already, in line 2"}},
		{"min format", studio(t, `{"image":"a.jpg","label":[],"id":4}`), []string{"train.json:2: task 4: it has no data; of Label Studio's formats, JSON is read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := setup(tt.tree.config(), wildtrain.Train)
			require.Error(t, err)
			for _, w := range tt.want {
				assert.ErrorContains(t, err, w)
			}
		})
	}
}

// A box that is there twice counts once, and a row may say again that a picture is there.
func TestRowsTwice(t *testing.T) {
	d, err := setup(csvTree(t, table+"a.jpg,zebra,1,2,3,4\na.jpg,kudu,1,2,3,4\n./a.jpg,zebra,1.0,2,3,4\na.jpg,,,,,\n").config(), wildtrain.Train)
	require.NoError(t, err)
	require.Len(t, d.Records(wildtrain.Train), 1)
	assert.Len(t, d.Records(wildtrain.Train)[0].Objects, 2)
	require.Len(t, d.Report(wildtrain.Train).Problems, 1)
	assert.Contains(t, d.Report(wildtrain.Train).Problems[0].String(), "train.csv:4: the same box as in line 2; it counts once")
}

func TestNamedRoots(t *testing.T) {
	tr := csvTree(t, table+"a.jpg,zebra,10,15,30,27\n")
	c := tr.config()
	c.Root = tr.path("train.csv")
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Len(t, d.Records(wildtrain.Train), 1)
	c.Source = datamodule.VOC
	_, err = setup(c, wildtrain.Train)
	assert.ErrorContains(t, err, "a root that is a file must be")
	c.Root = tr.root
	_, err = setup(c, wildtrain.Train)
	assert.ErrorContains(t, err, "no VOC dataset")
	c.Source = datamodule.LabelStudio
	_, err = setup(c, wildtrain.Train)
	assert.ErrorContains(t, err, "no Label Studio export")
}

func replaceOnce(t testing.TB, text, old, new string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), old)
	return strings.Replace(text, old, new, 1)
}
