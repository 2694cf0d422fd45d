// Made by options/generate.py from the tables beside it.
package libdpo;

/** How a model or adapter is converted. What is not set keeps its default. */
public final class ExportOptions extends Options {
  public ExportOptions() {
    super("export");
  }

  /** An adapter to put on the model. Default: none. */
  public ExportOptions adapter(String value) {
    set("adapter", value);
    return this;
  }

  /** The model of an adapter whose file names it no more. Default: the one that the adapter's file names. */
  public ExportOptions base(String value) {
    set("base", value);
    return this;
  }

  /**
   * Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
   * "q8_0". Default: "f32".
   */
  public ExportOptions dtype(String value) {
    set("dtype", value);
    return this;
  }

  /** Add the adapter into the weights. Default: off. */
  public ExportOptions merge(boolean value) {
    set("merge", value);
    return this;
  }

  /** Replace what stands there. Default: off. */
  public ExportOptions overwrite(boolean value) {
    set("overwrite", value);
    return this;
  }
}
