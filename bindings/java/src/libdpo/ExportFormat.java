package libdpo;

/** What dpo_export writes. SAFETENSORS: a Hugging Face directory. */
public enum ExportFormat { HDF5, SAFETENSORS, GGUF, PEFT, GGUF_LORA }
