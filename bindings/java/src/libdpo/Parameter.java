package libdpo;

/** A tensor that is trained: `size` numbers from `offset` on. Names are Hugging Face's, or PEFT's for an adapter. */
public record Parameter(String name, long offset, long size, long[] shape) {}
