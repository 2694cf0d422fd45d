// Made by options/generate.py from the tables beside it.
package libdpo;

/**
 * How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p. What is not set
 * keeps its default.
 */
public final class GenerationOptions extends Options {
  public GenerationOptions() {
    super("generation");
  }

  /** Most tokens of a completion. At least 1. Default: 128. */
  public GenerationOptions maxNewTokens(int value) {
    set("max_new_tokens", value);
    return this;
  }

  /** Sampling temperature; 0: greedy. At least 0. Default: 1. */
  public GenerationOptions temperature(double value) {
    set("temperature", value);
    return this;
  }

  /** Sample among so many of the likeliest tokens; 0: all. At least 0. Default: 0. */
  public GenerationOptions topK(int value) {
    set("top_k", value);
    return this;
  }

  /**
   * Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. Default: 1.
   */
  public GenerationOptions topP(double value) {
    set("top_p", value);
    return this;
  }

  /** Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. Default: 0. */
  public GenerationOptions minP(double value) {
    set("min_p", value);
    return this;
  }

  /**
   * A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. Default: 42.
   */
  public GenerationOptions seed(long value) {
    set("seed", value);
    return this;
  }

  /** Completions of each prompt. 1 to 4096. Default: 1. */
  public GenerationOptions numReturnSequences(int value) {
    set("num_return_sequences", value);
    return this;
  }

  /** Off for prompts that a chat template wrote: they hold their special tokens already. Default: on. */
  public GenerationOptions addSpecialTokens(boolean value) {
    set("add_special_tokens", value);
    return this;
  }

  /**
   * Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32", "bf16".
   * Default: "fp32".
   */
  public GenerationOptions precision(String value) {
    set("precision", value);
    return this;
  }
}
