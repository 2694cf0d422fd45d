package libdpo

// #include <dpo.h>
import "C"

import "encoding/json"

// Inspect tells what a model, adapter, checkpoint or data file holds, as JSON.
func Inspect(path string) (json.RawMessage, error) {
	var texts cTexts
	defer texts.free()
	cPath := texts.one(path, "the path")
	if texts.err != nil {
		return nil, texts.err
	}
	return returnedJSON(func(text **C.char) C.int32_t { return C.dpo_inspect(cPath, text) })
}

// ExportFormat is what Export writes.
type ExportFormat int32

const (
	ExportHDF5        ExportFormat = C.DPO_EXPORT_HDF5
	ExportSafetensors ExportFormat = C.DPO_EXPORT_SAFETENSORS // a Hugging Face directory
	ExportGGUF        ExportFormat = C.DPO_EXPORT_GGUF
	ExportPEFT        ExportFormat = C.DPO_EXPORT_PEFT      // an adapter directory for PEFT
	ExportGGUFLoRA    ExportFormat = C.DPO_EXPORT_GGUF_LORA // an adapter that llama.cpp loads
)

// exportOptions takes nil for every default.
func exportOptions(options *ExportOptions) (nativeOptions, error) {
	if options == nil {
		options = &ExportOptions{}
	}
	return newOptions(options)
}

// Export converts a model, adapter or checkpoint file. The output appears whole or not at all.
func Export(input string, format ExportFormat, output string, options *ExportOptions) error {
	var texts cTexts
	defer texts.free()
	from, to := texts.one(input, "the input"), texts.one(output, "the output")
	if texts.err != nil {
		return texts.err
	}
	native, err := exportOptions(options)
	if err != nil {
		return err
	}
	defer native.release()
	return check(func() C.int32_t {
		return C.dpo_export(from, C.int32_t(format), to, (*C.dpo_export_options)(native.get()))
	})
}

// ExportCheck tells as JSON whether what was learned survived an export: it scores pairs of a JSON-lines file under both. reference is
// the model that was trained from; "": what the files name.
func ExportCheck(input, output, data, reference string, options *ExportOptions) (json.RawMessage, error) {
	var texts cTexts
	defer texts.free()
	from, to, rows := texts.one(input, "the input"), texts.one(output, "the output"), texts.one(data, "the data")
	base := texts.optional(reference, "the reference")
	if texts.err != nil {
		return nil, texts.err
	}
	native, err := exportOptions(options)
	if err != nil {
		return nil, err
	}
	defer native.release()
	return returnedJSON(func(text **C.char) C.int32_t {
		return C.dpo_export_check(from, to, rows, base, (*C.dpo_export_options)(native.get()), text)
	})
}

// TrainTokenizer learns a byte-level BPE tokenizer from text files, JSON lines with "text", or directories of such files.
func TrainTokenizer(paths []string, directory string, options *TokenizerOptions) error {
	if options == nil {
		options = &TokenizerOptions{}
	}
	var texts cTexts
	defer texts.free()
	list, output := texts.many(paths, "path"), texts.one(directory, "the directory")
	if texts.err != nil {
		return texts.err
	}
	native, err := newOptions(options)
	if err != nil {
		return err
	}
	defer native.release()
	return check(func() C.int32_t {
		return C.dpo_tokenizer_train(list, C.size_t(len(paths)), (*C.dpo_tokenizer_options)(native.get()), output)
	})
}

// CreateModel writes a model with fresh weights: a Hugging Face directory, or libdpo's file if output ends in .h5.
func CreateModel(shape *ModelShape, output string) error {
	if shape == nil {
		shape = &ModelShape{}
	}
	var texts cTexts
	defer texts.free()
	path := texts.one(output, "the output")
	if texts.err != nil {
		return texts.err
	}
	native, err := newOptions(shape)
	if err != nil {
		return err
	}
	defer native.release()
	return check(func() C.int32_t { return C.dpo_model_create((*C.dpo_model_shape)(native.get()), path) })
}
