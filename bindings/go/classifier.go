package libdpo

// #include <dpo.h>
import "C"

import (
	"time"
	"unsafe"
)

// Classifier is a judge of texts: tf-idf of words and characters under logistic regression.
type Classifier struct {
	handle *handle
	native *C.dpo_classifier
}

func newClassifier(make func(out **C.dpo_classifier) C.int32_t) (*Classifier, error) {
	var native *C.dpo_classifier
	if err := check(func() C.int32_t { return make(&native) }); err != nil {
		return nil, err
	}
	handle := newHandle(uintptr(unsafe.Pointer(native)), func() { C.dpo_classifier_release(native) })
	return &Classifier{handle, native}, nil
}

// TrainClassifier learns from texts with their labels. cost is the weight of the data against the regulariser, 3 is usual;
// probabilities are calibrated on `folds` held-out folds, 5 is usual; 0: not at all.
func TrainClassifier(texts []string, labels []bool, cost float64, folds int) (*Classifier, error) {
	if len(labels) != len(texts) {
		return nil, invalid("there are %d labels for %d texts", len(labels), len(texts))
	}
	var c cTexts
	defer c.free()
	list := c.many(texts, "text")
	if c.err != nil {
		return nil, c.err
	}
	numbers := make([]int32, len(labels))
	for i, label := range labels {
		numbers[i] = int32(flag(label))
	}
	return newClassifier(func(out **C.dpo_classifier) C.int32_t {
		return C.dpo_classifier_train(list, integers(numbers), C.size_t(len(texts)), C.double(cost), C.int32_t(folds), out)
	})
}

// OpenClassifier reads what Save or `dpo classifier train` wrote.
func OpenClassifier(path string) (*Classifier, error) {
	var c cTexts
	defer c.free()
	cPath := c.one(path, "the path")
	if c.err != nil {
		return nil, c.err
	}
	return newClassifier(func(out **C.dpo_classifier) C.int32_t { return C.dpo_classifier_open(cPath, out) })
}

// Save writes the classifier.
func (c *Classifier) Save(path string) error {
	var texts cTexts
	defer texts.free()
	cPath := texts.one(path, "the path")
	if texts.err != nil {
		return texts.err
	}
	return c.handle.check(func() C.int32_t { return C.dpo_classifier_save(c.native, cPath) })
}

// Score gives ln(p / (1 - p)) of label true for each text.
func (c *Classifier) Score(texts []string) ([]float64, error) {
	var list cTexts
	defer list.free()
	cTexts := list.many(texts, "text")
	if list.err != nil {
		return nil, list.err
	}
	logOdds := make([]float64, len(texts))
	err := c.handle.check(func() C.int32_t {
		return C.dpo_classifier_score(c.native, cTexts, C.size_t(len(texts)), doubles(logOdds))
	})
	return logOdds, err
}

// SetWait tells how long calls wait while another goroutine's call uses the classifier; see Model.SetWait.
func (c *Classifier) SetWait(wait time.Duration) error { return c.handle.setWait(wait, nil) }

// Close releases the classifier.
func (c *Classifier) Close() { c.handle.close() }
